import copy
import json
import pickle

import numpy as np
import pytest

from tinynet import nn, optim
from tinynet.blocks.units.linear import Linear

RNG = np.random.default_rng(0)
SHAPES = [(3, 4), (4,), (), (0, 2)]


def params(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in SHAPES]


def gradients(step, dtype=np.float64):
    rng = np.random.default_rng(100 + step)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


def run(optimizer, steps, start=0):
    for i in range(start, start + steps):
        for p, g in zip(optimizer.params, gradients(i, optimizer.params[0].dtype), strict=True):
            p.grad = g
        optimizer.step()
    return [p.data.copy() for p in optimizer.params]


def by_hand(update, steps=5):
    """Each parameter on its own: update(p, g, t, memory) -> p, straight from the formulas."""
    values, memories = [p.data for p in params()], [{"b": 0, "m": 0, "v": 0} for _ in SHAPES]
    for i in range(steps):
        values = [update(p, g, i + 1, m) for p, g, m in zip(values, gradients(i), memories, strict=True)]
    return values


def sgd_by_hand(lr, momentum, nesterov, decay):
    def update(p, g, t, memory):
        g = g + decay * p
        memory["b"] = momentum * memory["b"] + g
        return p - lr * (g + momentum * memory["b"] if nesterov else memory["b"])
    return by_hand(update)


def adam_by_hand(lr, beta1, beta2, eps, l2, decay):
    def update(p, g, t, memory):
        g = g + l2 * p
        memory["m"] = beta1 * memory["m"] + (1 - beta1) * g
        memory["v"] = beta2 * memory["v"] + (1 - beta2) * g ** 2
        m, v = memory["m"] / (1 - beta1 ** t), memory["v"] / (1 - beta2 ** t)
        return p - lr * m / (np.sqrt(v) + eps) - lr * decay * p
    return by_hand(update)


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("settings", [(0.1, 0, False, 0), (0.1, 0, False, 0.2), (0.1, 0.9, False, 0.2),
                                      (0.1, 0.9, True, 0), (0.05, 0.5, True, 0.1)])
def test_sgd_is_its_formulas(settings):
    assert_close(run(optim.SGD(params(), *settings), 5), sgd_by_hand(*settings))


@pytest.mark.parametrize("settings", [(1e-3, 0.9, 0.999, 1e-8, 0, 0), (0.1, 0.8, 0.9, 1e-2, 0.1, 0),
                                      (0.1, 0.9, 0.99, 1e-8, 0, 0.2), (0.1, 0, 0, 1e-3, 0.1, 0.1)])
def test_adam_is_its_formulas(settings):
    lr, beta1, beta2, eps, l2, decay = settings
    optimizer = optim.Adam(params(), lr, (beta1, beta2), eps, l2=l2, weight_decay=decay)
    assert_close(run(optimizer, 5), adam_by_hand(*settings))


def make(kind, parameters=None):
    parameters = params() if parameters is None else parameters
    if kind == "sgd":
        return optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    return optim.Adam(parameters, 0.1, l2=0.1, weight_decay=0.1)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_float32_stays_float32_and_both_dtypes_can_be_trained_together(kind):
    optimizer = make(kind, params(np.float32))
    assert {a.dtype for a in run(optimizer, 2)} == {np.dtype(np.float32)}
    optimizer.lr = np.float64(0.01)
    assert {a.dtype for a in run(optimizer, 1)} == {np.dtype(np.float32)}
    mixed = [nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(2))]
    optimizer = make(kind, mixed)
    for p in mixed:
        p.grad = np.ones(2, p.dtype)
    optimizer.step()
    assert [p.dtype for p in mixed] == [np.float32, np.float64]
    np.testing.assert_allclose(mixed[0].data, mixed[1].data, rtol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_parameter_without_gradient_is_passed_over(kind):
    both, alone = [nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))], [nn.Parameter(np.ones(2))]
    together, single = make(kind, both), make(kind, alone)
    for i in range(4):
        both[0].grad = np.full(3, 0.5 + i) if i != 1 else None
        both[1].grad = np.full(2, 1.0 + i) if i >= 2 else None
        together.step()
        if i == 1:
            assert (both[1].data == 1).all()
        if i >= 2:
            alone[0].grad = both[1].grad
            single.step()
            np.testing.assert_array_equal(both[1].data, alone[0].data)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_gradients_are_read_only_and_the_first_arrays_stay_the_callers(kind):
    mine, grad = np.ones(3), np.arange(3.0)
    p = nn.Parameter(mine)
    grad.flags.writeable = False
    optimizer = make(kind, [p])
    p.grad = grad
    optimizer.step()
    assert (mine == 1).all()
    assert not np.array_equal(p.data, mine)
    np.testing.assert_array_equal(grad, np.arange(3.0))


def test_a_factor_scales_the_learning_rate_of_its_parameters():
    slow, fast = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
    optimizer = optim.SGD([([slow], 1), ([fast], 100)], lr=0.01)
    slow.grad = fast.grad = np.ones(2)
    optimizer.step()
    np.testing.assert_allclose([slow.data, fast.data], [[-0.01] * 2, [-1.0] * 2])


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_state_dict_goes_on_bitwise_and_holds_copies(kind):
    straight = run(make(kind), 6)
    first = make(kind)
    values = run(first, 3)
    state = first.state_dict()
    run(first, 2, start=7)
    second = make(kind, [nn.Parameter(a) for a in values])
    second.load_state_dict(state)
    for a, b in zip(run(second, 3, start=3), straight, strict=True):
        np.testing.assert_array_equal(a, b)
    json.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})


def test_a_state_from_elsewhere_is_refused_and_changes_nothing():
    adam, other = make("adam"), optim.Adam([nn.Parameter(np.ones(2))], 0.1, l2=0.1, weight_decay=0.1)
    run(adam, 2)
    before = adam.state_dict()
    with pytest.raises(ValueError, match="Adam: the state was saved by SGD; make that optimiser"):
        adam.load_state_dict(make("sgd").state_dict())
    with pytest.raises(ValueError, match=r"other settings \(l2=0.0 there and 0.1 here"):
        adam.load_state_dict(optim.Adam(params(), 0.1).state_dict())
    with pytest.raises(ValueError, match="other parameters; build the same model"):
        adam.load_state_dict(other.state_dict())
    after = adam.state_dict()
    assert before["steps"] == after["steps"]
    np.testing.assert_array_equal(before["m.0"], after["m.0"])


@pytest.mark.parametrize(("make_it", "sentence"), [
    (lambda p: optim.SGD(p, -1), "SGD: lr is -1; it must be 0 or more"),
    (lambda p: optim.SGD(p, float("nan")), "lr is nan"),
    (lambda p: optim.SGD(p, "big"), "lr is 'big'"),
    (lambda p: optim.SGD([], 0.1), "SGD: there are no parameters"),
    (lambda p: optim.SGD(p * 2, 0.1), "listed twice"),
    (lambda p: optim.SGD(p, 0.1, nesterov=True), "SGD: nesterov needs momentum"),
    (lambda p: optim.SGD(p, 0.1, momentum=1), "momentum is 1; it must be in"),
    (lambda p: optim.SGD(p, 0.1, weight_decay=-1), "weight_decay is -1"),
    (lambda p: optim.SGD([(p, -1)], 0.1), "factor of the learning rate"),
    (lambda p: optim.Adam(p, betas=(0.9, 1)), r"betas are \(0.9, 1\)"),
    (lambda p: optim.Adam(p, eps=-1), "Adam: eps is -1"),
    (lambda p: optim.StepDecay(at=(-1,)), "StepDecay: the epochs and the factor"),
    (lambda p: optim.CosineDecay(0), "CosineDecay: epochs must be above 0"),
    (lambda p: optim.WarmUp(-1), "WarmUp: epochs must be above 0"),
    (lambda p: optim.clip_grad_norm(p, 0), "clip_grad_norm: max_norm is 0"),
    (lambda p: optim.clip_grad_value(p, -1), "clip_grad_value: limit is -1"),
])
def test_silly_values_are_refused(make_it, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_it(params())


def test_what_is_no_parameter_is_refused():
    p = nn.Parameter(np.ones(2))
    for wrong in ([np.ones(2)], [p * 2], [p.detach()]):
        with pytest.raises(TypeError, match="is no parameter; pass a model's parameters"):
            optim.SGD(wrong, 0.1)


def test_a_gradient_that_does_not_fit_is_refused_before_anything_changes():
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = optim.SGD([first, second], 0.1)
    for wrong in (np.ones(3), np.ones(2, np.float32)):
        first.grad, second.grad = np.ones(2), wrong
        with pytest.raises(ValueError, match="they must be equal"):
            optimizer.step()
        assert (first.data == 1).all()
        assert optimizer.state_dict()["steps"] == [0, 0]


def test_schedules_at_known_times():
    cosine, warm = optim.CosineDecay(10, end=0.1), optim.WarmUp(2, then=optim.LinearDecay(4), start=0.5)
    np.testing.assert_allclose([cosine(t) for t in (0, 5, 10, 20)], [1, 0.55, 0.1, 0.1])
    np.testing.assert_allclose([warm(t) for t in (0, 1, 2, 4, 6, 9)], [0.5, 0.75, 1, 0.5, 0, 0])
    assert optim.Constant()(3.5) == 1


def test_a_schedule_knows_its_own_state():
    warm = optim.WarmUp(2, then=optim.StepDecay(at=[3]))
    warm.load_state_dict(optim.WarmUp(2, then=optim.StepDecay(at=(3,))).state_dict())
    with pytest.raises(ValueError, match=r"saved by WarmUp\(epochs=3, .* and this is WarmUp\(epochs=2, then=StepDecay"):
        warm.load_state_dict(optim.WarmUp(3).state_dict())


def test_clip_grad_norm_scales_all_gradients_by_one_factor():
    first, second, none = (nn.Parameter(np.zeros(1)) for _ in range(3))
    shared = np.array([3.0])
    first.grad, second.grad = shared, np.array([4.0])
    assert optim.clip_grad_norm([first, second, none], 10) == 5
    assert first.grad is shared
    assert optim.clip_grad_norm([first, second, none], 1) == 5
    np.testing.assert_allclose([first.grad, second.grad], [[0.6], [0.8]])
    assert shared == [3]
    assert none.grad is None


def test_clip_grad_norm_of_float32_beyond_its_square_and_of_nothing_finite():
    p = nn.Parameter(np.zeros(2, np.float32))
    p.grad = np.array([3e25, 4e25], np.float32)
    assert optim.clip_grad_norm([p], 1) == pytest.approx(5e25)
    np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-6)
    assert p.grad.dtype == np.float32
    for bad in (np.nan, np.inf):
        p.grad = np.array([bad, 1], np.float32)
        with pytest.raises(FloatingPointError, match=r"tinynet.debug\(\)"):
            optim.clip_grad_norm([p], 1)


def test_clip_grad_value_clips_entries():
    p = nn.Parameter(np.zeros(3))
    p.grad = mine = np.array([-2.0, 0.5, 9.0])
    optim.clip_grad_value([p], 1)
    np.testing.assert_array_equal(p.grad, [-1, 0.5, 1])
    assert mine[2] == 9


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1)])
def test_a_copied_optimiser_moves_the_copied_parameters(copied, make):
    net = Linear(3, 2, rng=0)
    for net_, optimizer in [(net, make(net.parameters())), copied((net, make(net.parameters())))]:
        (net_(np.ones((4, 3), np.float32)) ** 2).sum().backward()
        optimizer.step()
        net_.zero_grad()
        moved = net_.W.data.copy()
        if net_ is not net:
            np.testing.assert_array_equal(moved, net.W.data)
            assert not np.array_equal(moved, Linear(3, 2, rng=0).W.data)
