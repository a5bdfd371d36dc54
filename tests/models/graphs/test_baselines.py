"""The systems that are older than graph convolutions, and MoNet: each on graphs whose answer is known."""

import builtins

import numpy as np
import pytest

from tinynet import optim
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.karate import karate_club
from tinynet.graph import Graph
from tinynet.models.graphs import deep_walk as walking
from tinynet.models.graphs.deep_walk import deep_walk, noise_of, pairs_of, random_walks, rows_of_length_1
from tinynet.models.graphs.iterative_classification import _relabel, iterative_classification, neighbour_classes
from tinynet.models.graphs.label_propagation import label_propagation, unreached
from tinynet.models.graphs.mani_reg import Smoothness, mani_reg
from tinynet.models.graphs.monet import MoNet
from tinynet.models.graphs.planetoid import PlanetoidI, PlanetoidT, label_pairs
from tinynet.models.graphs.semi_emb import SemiEmb, drawn_pairs, semi_emb_loss
from tinynet.sparse import SparseRows


@pytest.fixture
def weighted():
    """0 =3= 1 -1- 2"""
    return Graph.from_edges([(0, 1), (1, 2)], 3, weights=[3, 1]).undirected()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# %% ManiReg
@pytest.mark.parametrize("sparse", [False, True])
def test_mani_reg_is_where_the_gradient_of_its_loss_is_zero(rng, sparse):
    x, labels = rng.normal(size=(9, 4)), np.array([0, 1, 2, 0])
    graph = Graph.from_edges(rng.integers(0, 9, (14, 2)), 9, rng.uniform(0.5, 2, 14)).undirected()
    W, b = mani_reg(SparseRows.from_dense(x) if sparse else x, graph, [2, 3, 5, 8], labels, 3, ridge=0.1, smooth=0.7)
    Y, A = np.eye(3)[labels], graph.adjacency.dense()

    def loss(W):
        f = x @ W
        apart = (A * ((f[:, None] - f[None]) ** 2).sum(axis=2)).sum() / 2
        return ((Y - b - x[[2, 3, 5, 8]] @ W) ** 2).sum() / 4 + 0.1 * (W ** 2).sum() + 0.7 / (A.sum() / 2) * apart

    for place in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[place] = 1e-5
        assert abs(loss(W + step) - loss(W - step)) / 2e-5 < 1e-8
    np.testing.assert_array_equal(b, Y.mean(axis=0))


def test_the_smoother_the_nearer_are_neighbours(rng):
    x, graph = rng.normal(size=(8, 6)), Graph.from_edges([(i, i + 1) for i in range(7)], 8).undirected()
    prepared, gaps = Smoothness(x, graph, [0, 7], [0, 1], 2), []
    for smooth in (0, 1, 100):
        W, _ = prepared.solve(0.1, smooth)
        gaps.append((np.diff(x @ W, axis=0) ** 2).sum())
    assert gaps[0] > gaps[1] > gaps[2]
    with pytest.raises(ValueError, match="mani_reg: ridge is 0 and smooth 1; give a ridge above 0"):
        prepared.solve(0, 1)


# %% Walks and DeepWalk
def test_walks_go_along_edges_in_proportion_to_their_weights(weighted):
    walks = random_walks(weighted, np.full(4000, 1), 2, rng=0)
    assert (walks[:, 0] == 1).all()
    share = (walks[:, 1] == 0).mean()
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    club = karate_club().graph
    there = club.adjacency.dense() > 0
    for walk in random_walks(club, np.arange(34), 30, rng=1):
        assert there[walk[:-1], walk[1:]].all()


def test_the_walk_of_the_kernel_is_that_of_its_loops(weighted, monkeypatch):
    given = karate_club().graph, np.arange(34), 12
    ours = random_walks(*given, rng=3)
    monkeypatch.setattr(walking, "_walk", walking._walk.loops)
    np.testing.assert_array_equal(random_walks(*given, rng=3), ours)


def test_a_walk_from_an_isolated_node_and_into_a_dead_end():
    one_way = Graph.from_edges([(0, 1)], 3)
    with pytest.raises(ValueError, match="random_walks: node 2 has no neighbours, so no walk leads on from it; st"):
        random_walks(one_way, [2], 5, rng=0)
    with pytest.raises(ValueError, match="random_walks: node 1 has no neighbours"):
        random_walks(one_way, [0], 5, rng=0)
    assert random_walks(one_way, [2], 1, rng=0).tolist() == [[2]]
    with pytest.raises(ValueError, match="random_walks: length is 0"):
        random_walks(one_way, [0], 0, rng=0)
    with pytest.raises(ValueError, match="deep_walk: none of the 2 nodes has a neighbour"):
        deep_walk(Graph.from_edges([], 2))
    with pytest.raises(ValueError, match="window 0"):
        deep_walk(one_way, window=0)


@pytest.mark.parametrize("compiled", [True, False])
def test_pairs_are_those_of_the_windows_and_negatives_follow_them(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(walking, "_pair", walking._pair.loops)
    walks, noise = np.array([[4, 5, 6], [7, 8, 9]]), noise_of(np.ones(10))
    pairs, gamma = pairs_of(walks, 1, 0, noise, np.random.default_rng(0))
    assert pairs.tolist() == [[4, 5], [5, 4], [5, 6], [6, 5], [7, 8], [8, 7], [8, 9], [9, 8]]
    assert (gamma == 1).all()
    pairs, gamma = pairs_of(walks[:1], 2, 1, noise, np.random.default_rng(0), whole=True)
    assert pairs[::2].tolist() == [[i, c] for i in (4, 5, 6) for c in (4, 5, 6)]
    np.testing.assert_array_equal(gamma, [1, -1] * 9)
    np.testing.assert_array_equal(pairs[1::2, 0], pairs[::2, 0])


def test_negatives_are_drawn_by_degree_to_the_three_quarters(rng):
    degrees = np.array([0.0, 1, 16, 81])
    walks = np.zeros((20_000, 1), np.int32)
    pairs, gamma = pairs_of(walks, 1, 1, noise_of(degrees), rng, whole=True)
    drawn = np.bincount(pairs[gamma < 0, 1], minlength=4) / 20_000
    np.testing.assert_allclose(drawn, [0, 1 / 36, 8 / 36, 27 / 36], atol=0.015)


def test_deep_walk_tells_the_two_clubs_apart_and_repeats_itself():
    club = karate_club()
    e = rows_of_length_1(deep_walk(club.graph, width=16, walks=40, length=20, window=5, rng=0))
    own, other = (e @ e[club.factions == side].mean(axis=0) for side in (0, 1))
    assert ((own < other) == club.factions).mean() > 0.9
    again = rows_of_length_1(deep_walk(club.graph, width=16, walks=40, length=20, window=5, rng=0))
    assert e.tobytes() == again.tobytes()
    assert not rows_of_length_1(np.zeros((1, 3))).any()


# %% ICA
def test_neighbours_count_by_their_weights(weighted):
    labels = np.array([0, 1, 2])
    np.testing.assert_array_equal(neighbour_classes(weighted, labels, 3), [[0, 3, 0], [3, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(neighbour_classes(weighted, labels, 3, shares=True), [[0, 1, 0], [0.75, 0, 0.25],
                                                                                      [0, 1, 0]])


@pytest.mark.parametrize("shares", [False, True])
def test_relabelling_by_hand(weighted, shares):
    """Node 1 has no words of its own; its neighbours vote with their weights, and node 2 follows the new label."""
    now, own = np.array([0, 1, 1]), np.zeros((3, 2))
    for kernel in (_relabel, _relabel.loops):
        found = now.copy()
        kernel(weighted.indptr, weighted.indices, weighted.adjacency.values, own, np.eye(2), shares, np.array([1, 2]),
               found)
        assert found.tolist() == [0, 0, 0]


def test_ica_learns_that_neighbours_are_of_the_other_class():
    """Where label propagation, which takes them to be alike, is always wrong."""
    pytest.importorskip("sklearn")
    ring = Graph.from_edges([(i, (i + 1) % 40) for i in range(40)], 40).undirected()
    labels, asked = np.arange(40) % 2, np.arange(3, 40, 4)
    known = np.setdiff1d(np.arange(40), asked)
    found = iterative_classification(np.ones((40, 1)), ring, known, labels[known], 2, rng=0)
    assert found.influence[0, 0] < 0 < found.influence[0, 1]
    assert (found.labels == labels).all()
    propagated = label_propagation(ring, known, labels[known], 2).argmax(axis=1)
    assert (propagated != labels)[asked].all()


def test_without_scikit_learn_ica_names_the_extra(weighted, monkeypatch):
    real = builtins.__import__

    def without(name, *more, **others):
        if name.startswith("sklearn"):
            raise ModuleNotFoundError(name)
        return real(name, *more, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinynet\[lessons\]"'):
        iterative_classification(np.ones((3, 1)), weighted, [0, 1], [0, 1], 2)


# %% SemiEmb and Planetoid
def test_semi_emb_brings_the_hidden_rows_of_neighbours_together(rng):
    x = rng.normal(size=(20, 8)).astype(np.float32)
    graph = Graph.from_edges([(i, i + 1) for i in range(0, 20, 2)], 20).undirected()
    net, known, labels = SemiEmb(8, 2, width=6, rng=0), np.array([0, 2]), np.array([0, 1])
    adam = optim.Adam(net.parameters(), lr=0.01)
    apart = []
    for _ in range(150):
        h = net.eval().hidden(x).data
        near, far = (np.linalg.norm(h[::2] - np.roll(h[1::2], shift, axis=0), axis=1).mean() for shift in (0, 3))
        apart.append(near / far)
        net.train().zero_grad()
        pairs = drawn_pairs(graph, np.arange(20), 30, rng)
        semi_emb_loss(net, x, known, labels, *pairs).backward()
        adam.step()
    assert apart[-1] < 0.6 * apart[0]
    sparse = SparseRows.from_dense(x)
    loss = [semi_emb_loss(net.eval(), given, known, labels, *pairs).item() for given in (x, sparse)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-5)
    with pytest.raises(ValueError, match="SemiEmb: the graph has no edges, so no pair of neighbours can be drawn"):
        drawn_pairs(Graph.from_edges([], 3), np.arange(3), 2, rng)


def test_pairs_of_labels_are_of_one_class_and_of_two_in_turn(rng):
    known, labels = np.array([3, 5, 7, 9]), np.array([0, 0, 1, 2])
    pairs, gamma = label_pairs(known, labels, 500, rng)
    of = dict(zip(known.tolist(), labels.tolist(), strict=True))
    same = np.array([of[i] == of[c] for i, c in pairs.tolist()])
    np.testing.assert_array_equal(same, gamma > 0)
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, c) for i in known.tolist() for c in known.tolist()}
    with pytest.raises(ValueError, match="planetoid: all labels are of one class"):
        label_pairs(known, np.zeros(4, int), 10, rng)


@pytest.mark.parametrize("kind", [PlanetoidT, PlanetoidI])
def test_planetoid_learns_its_labels_from_three_classifiers(kind, rng):
    x, rows, labels = rng.normal(size=(6, 5)).astype(np.float32), np.arange(6), np.array([0, 1, 0, 1, 0, 1])
    net = kind(9, 5, 2, width=8, rng=0)
    sgd = optim.SGD([p for p in net.parameters() if p is not net.contexts], lr=0.5)
    for _ in range(300):
        net.zero_grad()
        loss = net.loss(x, rows, labels)
        loss.backward()
        sgd.step()
    words, embedded, both = net(x, rows)
    assert loss.item() == pytest.approx(sum(cross_entropy(each, labels).item() for each in (words, embedded, both)),
                                        rel=0.1)
    assert (both.data.argmax(axis=1) == labels).all()


def test_monet_learns_two_triangles():
    ring = [(i, (i + 1) % 3) for i in range(3)]
    graph = Graph.from_edges([*ring, *((i + 3, j + 3) for i, j in ring)], 6).undirected()
    net, x, labels = MoNet(6, 2, p=0, rng=0), np.eye(6, dtype=np.float32), np.array([0, 0, 0, 1, 1, 1])
    adam = optim.Adam(net.parameters(), lr=0.05)
    for _ in range(60):
        net.zero_grad()
        cross_entropy(net(x, graph)[[0, 3]], labels[[0, 3]]).backward()
        adam.step()
    assert (net.eval()(x, graph).data.argmax(axis=1) == labels).all()


# %% What they all refuse
def test_a_class_without_a_label_and_a_component_without_one(weighted):
    x = np.ones((3, 2))
    for call in (lambda: mani_reg(x, weighted, [0, 1], [0, 0], 2), lambda: label_propagation(weighted, [0], [0], 2),
                 lambda: iterative_classification(x, weighted, [0, 1], [1, 1], 2)):
        with pytest.raises(ValueError, match=r"no known node is of class \d, so no node could be told to be of it; l"):
            call()
    two = Graph.from_edges([(0, 1), (2, 3)], 5).undirected()
    assert unreached(two, [0]).tolist() == [2, 3, 4]
    with pytest.warns(UserWarning, match="label_propagation: 1 of 5 nodes lie in a component without a label, so t"):
        label_propagation(two, [0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="iterative_classification: there is 1 class"):
        iterative_classification(x, weighted, [0], [0], 1)
