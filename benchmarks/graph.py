"""GAT beside PyTorch Geometric's GATConv on the same graph: training step, evaluation, and the layer at any size.

Both nets get the same weights, and before anything is timed their logits are compared in evaluation.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, benchmark, medians, the_same
from tinynet import memory

SCALE = (10_000, 100_000, 1_000_000, 10_000_000, 20_000_000)


def geometric(dims, heads, p=0.0, residual=()):
    """PyTorch Geometric's natural code: layers from dims[l] to heads[l] x dims[l + 1], the last one averaged."""
    import torch
    import torch.nn.functional as F
    from torch_geometric.nn import GATConv

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            last, before = len(heads) - 1, [1, *heads]
            self.layers = torch.nn.ModuleList([
                GATConv(dims[l] * before[l], dims[l + 1], heads[l], concat=l < last, dropout=p, add_self_loops=False,
                        residual=l in residual) for l in range(len(heads))])

        def forward(self, x, graphs):
            for l, (layer, (edges, rows)) in enumerate(zip(self.layers, graphs, strict=True)):
                x = layer(self.dropped(x), edges)[:rows]
                x = F.elu(x) if l + 1 < len(self.layers) else x
            return x

        def dropped(self, x):
            if x.layout != torch.sparse_csr:
                return F.dropout(x, p, self.training)
            values = F.dropout(x.values(), p, self.training)
            return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape)

    return Net()


def copy_weights(ours, theirs):
    """Give PyTorch Geometric's layers the weights of ours."""
    import torch

    for a, b in zip(ours, theirs.layers, strict=True):
        with torch.no_grad():
            b.lin.weight.copy_(torch.from_numpy(a.W.data.reshape(len(a.W), -1).T.copy()))
            b.att_dst.copy_(torch.from_numpy(a.a.data[:1]))
            b.att_src.copy_(torch.from_numpy(a.a.data[1:]))
            if a.W_skip is not None:
                b.res.weight.copy_(torch.from_numpy(a.W_skip.data.reshape(len(a.W), -1).T.copy()))


def edge_index(graph):
    """(2, E): source, destination."""
    import torch

    return torch.from_numpy(np.stack([graph.indices, graph.rows]).astype(np.int64))


def for_layers(graph, layers):
    """For each layer its edges and how many rows the next one needs: all, but on a receptive field."""
    found = []
    for _ in range(layers):
        found.append((edge_index(graph), graph.inner.nodes))
        graph = graph.inner
    return found


# %% The citation graphs
def citation_pair(dataset, near=False):
    """({library: training step}, {library: evaluation})

    near  True: both compute the receptive field of the nodes to learn from and no more, as tinynet.train_nodes does
    """
    import torch
    import torch.nn.functional as F

    import tinynet as tn
    from tinynet import optim
    from tinynet.blocks.losses.cross_entropy import cross_entropy
    from tinynet.data.citation import citation
    from tinynet.models.graphs.gat import GAT
    from tinynet.neighbourhoods import receptive_field

    data, pubmed = citation(dataset), dataset == "pubmed"
    x, graph, out_heads = data.features.normalised(), data.graph.with_self_loops(), 8 if pubmed else 1
    known = data.train
    net = GAT(x.shape[1], data.classes, out_heads=out_heads, rng=0)
    if near:
        field, graph = receptive_field(graph, known, net.hops)
        x, known = x.take(field), np.unique(known, return_inverse=True)[1]
    labels = data.labels[data.train]
    adam = optim.Adam(net.parameters(), lr=0.005, l2=0.0005)
    other = geometric((x.shape[1], 8, data.classes), (8, out_heads), p=0.6)
    copy_weights((net.first, net.last), other)
    full, nodes, targets = map(torch.from_numpy, (x.dense(), known, labels))
    warnings.filterwarnings("ignore", "Sparse")          # PyTorch calls its CSR tensors beta
    sparse = torch.sparse_csr_tensor(*map(torch.from_numpy, (x.indptr, x.indices.astype(np.int64), x.values)), x.shape)
    graphs = for_layers(graph, layers=2)
    their_adam = torch.optim.Adam(other.parameters(), lr=0.005, weight_decay=0.0005)

    def train():
        net.train().zero_grad()
        cross_entropy(net(x, graph)[known], labels).backward()
        adam.step()

    def evaluate():
        with tn.no_grad():
            return net.eval()(x, graph).data

    def their_train(features):
        other.train()
        their_adam.zero_grad()
        F.cross_entropy(other(features, graphs)[nodes], targets).backward()
        their_adam.step()

    def their_evaluate(features):
        other.eval()
        with torch.no_grad():
            return other(features, graphs).numpy()

    forms = {"PyTorch Geometric": full, "PyTorch G., sparse": sparse}
    for features in forms.values():
        the_same(evaluate(), their_evaluate(features))
    return ({"tinynet": train} | {name: partial(their_train, features) for name, features in forms.items()},
            {"tinynet": evaluate} | {name: partial(their_evaluate, features) for name, features in forms.items()})


def register(dataset, training):
    """The benchmarks of one citation graph; the goal of its training steps is given, that of evaluation is 3."""
    def whole_graph():
        return citation_pair(dataset)[0]

    def receptive_field():
        return citation_pair(dataset, near=True)[0]

    def evaluation():
        return citation_pair(dataset)[1]

    for make, what, goal in ((whole_graph, "training step, the whole graph", training),
                             (evaluation, "evaluation, the whole graph", 3),
                             (receptive_field, "training step, the receptive field", training)):
        make.__name__ = f"{dataset}_{make.__name__}"
        benchmark(f"GAT on {dataset.capitalize()}, {what}", goal)(make)


register("cora", 10)
register("pubmed", 5)


# %% The inductive net, on PPI's true structure with random features
def ppi_trainer():
    """(net, step(graph, x, targets)) of the paper's net for PPI."""
    from tinynet import optim
    from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
    from tinynet.models.graphs.gat import InductiveGAT

    net = InductiveGAT(50, 121, rng=0)
    adam = optim.Adam(net.parameters(), lr=0.005)

    def step(graph, x, targets):
        net.zero_grad()
        binary_cross_entropy(net(x, graph), targets).backward()
        adam.step()

    return net, step


def made_up(graph, rng):
    """(graph, x (N, 50), targets (N, 121)): PPI's own features and labels are not at hand."""
    return (graph, rng.normal(size=(graph.nodes, 50)).astype(np.float32),
            (rng.random((graph.nodes, 121)) < 0.3).astype(np.float32))


def ppi_pair():
    """(graph, train ours, train theirs)"""
    import torch
    import torch.nn.functional as F

    from tinynet.data.ppi import ppi_structure

    graph, x, targets = made_up(ppi_structure()["train"][0].with_self_loops(), np.random.default_rng(0))
    net, step = ppi_trainer()
    other = geometric((50, 256, 256, 121), (4, 4, 6), residual=(1,))
    copy_weights((net.first, net.second, net.last), other)
    full, graphs, their_targets = torch.from_numpy(x), for_layers(graph, layers=3), torch.from_numpy(targets)
    their_adam = torch.optim.Adam(other.parameters(), lr=0.005)
    the_same(net(x, graph).data, other(full, graphs).detach().numpy())

    def their_train():
        their_adam.zero_grad()
        F.binary_cross_entropy_with_logits(other(full, graphs), their_targets).backward()
        their_adam.step()

    return graph, lambda: step(graph, x, targets), their_train


@benchmark("GAT of PPI's shape on one of its graphs, training step", goal=1)
def ppi_train():
    _, ours, theirs = ppi_pair()
    return {"tinynet": ours, "PyTorch Geometric": theirs}


def ppi_share():
    """What a training step's matrix products alone would take at this machine's limit, beside the whole step."""
    graph, train, _ = ppi_pair()
    products = 50 * 1024 + 2 * 1024 * 1024 + 1024 * 726         # multiplications a node, forward
    flop = 2 * graph.nodes * (3 * products - 50 * 1024)         # and twice that backward, but for the input's gradient
    a = np.ones((2048, 2048), np.float32)
    ms = medians({"tinynet": train, "limit": lambda: a @ a})
    least = flop / (2 * 2048 ** 3) * ms["limit"]
    return [Row("PPI's shape, a step", ms["tinynet"], "products at the limit", least, least / ms["tinynet"], None)]


def ppi_epoch():
    """An epoch over the 20 training graphs, two a step as in the paper's recipe."""
    from tinynet.data.ppi import ppi_structure
    from tinynet.graph import Graph

    rng, graphs = np.random.default_rng(0), ppi_structure()["train"]
    batches = [made_up(Graph.union(graphs[i:i + 2]).with_self_loops(), rng) for i in range(0, len(graphs), 2)]
    _, step = ppi_trainer()
    step(*batches[0])                               # compile, allocate
    start = time.perf_counter()
    for batch in batches:
        step(*batch)
    return [within("PPI's shape, an epoch over its 20 training graphs", time.perf_counter() - start, 25)]


def cora_runs(runs=4):
    """How long 100 runs of GAT on Cora take with two workers, told from a few."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lessons.tables", "graphs", "--only", ": GAT on cora", "--workers", "2"]
        start = time.perf_counter()
        subprocess.run([*command, "--runs", str(runs), "--figures", folder], check=True, capture_output=True)
        seconds = (time.perf_counter() - start) * 100 / runs
    return [within(f"100 runs of GAT on Cora, {100 // runs} times what {runs} take", seconds, 15 * 60)]


def within(name, seconds, goal):
    """The row of what has to be done within `goal` seconds."""
    return Row(name, seconds * 1e3, "the goal", goal * 1e3, goal / seconds, 1)


# %% The layer at any size
def layer_step(library, edges):
    """(seconds forward and backward of a layer with 8 heads of 8 features, peak GiB): 10 edges a node."""
    from tinynet.graph import Graph

    nodes = edges // 10
    rng = np.random.default_rng(0)
    pairs = np.stack([np.repeat(np.arange(nodes), 10), rng.integers(0, nodes, edges)], axis=1)
    x, dy = (rng.normal(size=(nodes, 64)).astype(np.float32) for _ in "xy")
    graph = Graph.from_edges(pairs, nodes)          # no edge twice, for both
    if library == "tinynet":
        from tinynet.blocks.graphs.graph_attention_layer import GraphAttention

        layer = GraphAttention(64, 8, heads=8, rng=0)

        def step():
            layer.zero_grad()
            layer(x, graph).backward(dy)
    else:
        import torch
        from torch_geometric.nn import GATConv

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
        layer, index = GATConv(64, 8, heads=8, add_self_loops=False), edge_index(graph)
        full, upstream = torch.from_numpy(x), torch.from_numpy(dy)

        def step():
            layer.zero_grad()
            layer(full, index).backward(upstream)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]     # getrusage has the parent's, too
    return statistics.median(seconds[3:]), int(peak) / 2**20                           # by then all memory is there


def keep_within_memory():
    """Asking for more than is free is an error; the system would end a process, and not always the one that asked."""
    import resource  # not on Windows, where there is no /proc either

    free = int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (free, free))


def scale_rows(file="benchmarks/graph_scale.png"):
    """The layer at more and more edges until PyTorch Geometric runs out of memory, each time in a process of its own;
    draws time and memory."""
    found = {}
    for edges in SCALE:
        for library in ("tinynet", "PyTorch Geometric"):
            run = subprocess.run([sys.executable, "-m", "benchmarks.graph", library, str(edges)], capture_output=True,
                                 text=True)
            ran_out = "allocate" in run.stderr
            if run.returncode and (library == "tinynet" or not ran_out):
                raise RuntimeError(f"{library}, {edges:,} edges: {run.stderr}")
            found[library, edges] = (float("nan"), float("nan")) if run.returncode else json.loads(run.stdout)
        (ours, our_gib), (theirs, their_gib) = found["tinynet", edges], found["PyTorch Geometric", edges]
        needs = "runs out of memory" if np.isnan(their_gib) else f"{their_gib:.2f} GiB"
        yield Row(f"GAT layer, {edges:,} edges: {our_gib:.2f} GiB, PyTorch Geometric {needs}", ours * 1e3,
                  "PyTorch Geometric", theirs * 1e3, theirs / ours, None)
    draw_scale(found, file)


def draw_scale(found, file):
    from tinynet import plot

    fig, axes = plot.subplots(1, 2)
    for i, (ax, label) in enumerate(zip(axes, ("seconds, forward + backward", "peak memory (GiB)"), strict=True)):
        named = {library: [found[library, edges][i] for edges in SCALE] for library, _ in list(found)[:2]}
        plot.curves(ax, SCALE, named, legend="upper left")
        seen = np.isfinite(named["PyTorch Geometric"])
        if not seen.all():
            last = np.flatnonzero(seen)[-1]
            ax.annotate("then out of memory", (SCALE[last], named["PyTorch Geometric"][last]), (-8, -3), ha="right",
                        textcoords="offset points", color=plot.COLOURS[1])
        ax.set(xscale="log", yscale="log", xlabel="edges E (10 a node)", ylabel=label)
    fig.savefig(file)


if __name__ == "__main__":
    memory.keep()
    keep_within_memory()
    print(json.dumps(layer_step(sys.argv[1], int(sys.argv[2]))))
