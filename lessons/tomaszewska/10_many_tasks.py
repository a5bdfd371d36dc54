# %% [markdown]
# # Many tasks in one net

# %% [markdown]
"""One net for many tasks: what is gained, and when does one task harm the other?

Slides: tomaszewska fig1, fig2, shared-trunk, negative-transfer
Blocks: linear, cross_entropy, binary_cross_entropy
Run time: 6 s, --quick 2 s (one core); on MultiMNIST, with --data, 40 s more
Figures: tomaszewska_fig1_one-trunk-several-heads.png, tomaszewska_negative-transfer_angle.png

A trunk with several heads, a net with many yes-or-no answers, a cascade, and then the main problem of
the deck in a linear example that is computed exactly, and on digits.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import engine, optim, plot
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.multitask import multi_mnist
from tinynet.data.task_toys import ATTRIBUTES, starved_digits
from tinynet.lesson import lesson
from tinynet.models.tasks.cascade import Cascade
from tinynet.models.tasks.multi_label_net import MultiLabelNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.train import fit
from tinynet.train.batches import Whole

data = starved_digits(labels=40, seed=lesson.seed)
steps = 30 if lesson.quick else 200

# %% [markdown]
# ## fig1, shared-trunk: one trunk, a head for each task
# $$h = f_{shared}(x), \qquad y_t = f_t(h), \qquad L = \sum_t L_t$$
# The trunk hears of every task: $\frac{\partial L}{\partial h} = \sum_t \frac{\partial L_t}{\partial h}$.

# %%
net = SharedTrunk(64, (32, 32), classes=(10, 4), rng=lesson.seed, dtype=float)
digit, attributes = net(data.X)
losses = [cross_entropy(digit, data.digit), binary_cross_entropy(attributes, data.attributes)]
W = net.layers[-1].W
of_each = [engine.gradients(loss, [W])[0] for loss in losses]
of_the_sum, = engine.gradients(losses[0] + losses[1], [W])
np.testing.assert_allclose(sum(of_each), of_the_sum, rtol=1e-13, atol=1e-15, err_msg="fig1: the tasks' gradients")
cosine = (of_each[0] * of_each[1]).sum() / np.linalg.norm(of_each[0]) / np.linalg.norm(of_each[1])
lesson.number("angle between the two gradients (cosine)", cosine)

# %% [markdown]
# Motivation of the deck: a compact model, and less work when it is used.

# %%
separate = SeparateNets(64, (32, 32), classes=(10, 4), rng=lesson.seed)
sizes = [sum(p.size for p in each.parameters()) for each in (separate, net)]
lesson.number("parameters of two separate nets, of one trunk", sizes)
trunk, heads = 64 * 32 + 32 * 32, 32 * 14
lesson.number("products per example, separate / trunk", (2 * trunk + heads) / (trunk + heads))

# %% [markdown]
# ## fig2: a multi-label net asks K yes-or-no questions
# $$p_k = \sigma(z_k), \qquad L = -\frac1K \sum_k \left[ t_k \log p_k + (1 - t_k) \log (1 - p_k) \right]$$
# With one-v-all targets, a digit each, the largest logit names the class.

# %%
multi = MultiLabelNet(64, (32,), labels=14, rng=lesson.seed)
known = data.digit >= 0
targets = np.concatenate([np.eye(10)[data.digit[known]], data.attributes[known]], axis=1).astype(np.float32)
fit(multi, lambda net, x, t: binary_cross_entropy(net(x), t), Whole((data.X[known], targets), len(targets)),
    optim.Adam(multi.parameters(), 5e-3), steps=steps, progress=False)
with tn.no_grad():
    z = multi(data.X_test).data
named = z[:, :10].argmax(axis=1)
lesson.number("fig2: one-v-all accuracy on digits (%)", 100 * (named == data.digit_test).mean())
lesson.number("fig2: attributes right (%)", 100 * ((z[:, 10:] > 0) == data.attributes_test).mean())
agree = (ATTRIBUTES[named] == (z[:, 10:] > 0)).all(axis=1)
lesson.number("digits whose 14 answers agree with each other (%)", 100 * agree.mean())

# %% [markdown]
# ## Cascade: task k's output is an input of task k+1
# $$z_k = \mathrm{relu}(W_k [h; y_{k-1}] + b_k), \qquad y_k = V_k z_k + c_k$$
# The second task's loss goes back through the first task's output into the first head:
# $\frac{\partial L_2}{\partial V_1} = \frac{\partial L_2}{\partial y_1} z_1^T$.

# %%
cascade = Cascade(64, (32,), classes=(4, 10), rng=lesson.seed, dtype=float)
first, second = cascade(data.X)
L2 = cross_entropy(second, data.digit)
head = cascade.heads[0]
z1 = first.step.cache[0]            # what the head was given, kept for its backward
dL2_dy1, dL2_dV1 = engine.gradients(L2, [first, head.W])
by_hand = dL2_dy1.T @ z1
lesson.number("cascade: |dL2/dV1|, the chain's", [np.linalg.norm(dL2_dV1), np.linalg.norm(by_hand)])
np.testing.assert_allclose(dL2_dV1, by_hand, atol=1e-12)

# %%
fig, axes = plot.subplots(1, 2)
names = ["trunk", "stage 1", "head 1", "stage 2", "head 2"]
parts = [cascade.trunk[0].W, cascade.stages[0].W, cascade.heads[0].W, cascade.stages[1].W, cascade.heads[1].W]
L1 = binary_cross_entropy(first, data.attributes)
for k, (name, loss) in enumerate({"$L_1$ (attributes)": L1, "$L_2$ (digit)": L2}.items()):
    norms = [np.linalg.norm(g) for g in engine.gradients(loss, parts)]
    axes[1].bar(np.arange(5) + 0.4 * k - 0.2, norms, 0.38, color=plot.COLOURS[k], hatch=("", "//")[k], label=name,
                edgecolor="white")
axes[1].set(xticks=range(5), xticklabels=names, ylabel="norm of the gradient",
            title="cascade: $L_2$ goes through head 1")
norms = [[np.linalg.norm(g) for g in engine.gradients(loss, [net.layers[0].W, W, net.heads[0].W, net.heads[1].W])]
         for loss in losses]
for k, label in enumerate(("$L_1$ (digit)", "$L_2$ (attributes)")):
    axes[0].bar(np.arange(4) + 0.4 * k - 0.2, norms[k], 0.38, color=plot.COLOURS[k], hatch=("", "//")[k], label=label,
                edgecolor="white")
axes[0].set(xticks=range(4), xticklabels=["trunk 1", "trunk 2", "head 1", "head 2"], ylabel="norm of the gradient",
            title="one trunk: a head hears its own task alone")
for ax in axes:
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    ax.legend(loc="upper right", ncols=2)
lesson.save(fig, "tomaszewska_fig1_one-trunk-several-heads")

# %% [markdown]
# ## Negative transfer, exactly
# Two linear regressions $y_i = X_i \theta_i + \varepsilon$ share one direction: $\hat\theta_i = B a_i$, $B \in R^{20}$.
# Task 1 has 40 examples, task 2 has 400. The excess risk of task 1 is $|\hat\theta_1 - \theta_1|^2$.
# Least squares alternate between $a$ and $B$; both steps are solved exactly.


# %%
def excess_risks(cosine, seed, d=20, n=(40, 400), noise=0.5):
    """Task 1's excess risk (alone, shared), for tasks at this angle."""
    rng = np.random.default_rng(seed)
    theta1, other = np.linalg.qr(rng.normal(size=(d, 2)))[0].T
    thetas = theta1, cosine * theta1 + np.sqrt(1 - cosine ** 2) * other
    X = [rng.normal(size=(k, d)) for k in n]
    y = [x @ t + noise * rng.normal(size=len(x)) for x, t in zip(X, thetas, strict=True)]
    K, c = [x.T @ x for x in X], [x.T @ v for x, v in zip(X, y, strict=True)]
    alone = np.linalg.solve(K[0], c[0])
    B = np.linalg.solve(sum(K), sum(c))
    for _ in range(30):
        a = [B @ ci / (B @ Ki @ B) for Ki, ci in zip(K, c, strict=True)]
        B = np.linalg.solve(sum(ai ** 2 * Ki for ai, Ki in zip(a, K, strict=True)),
                            sum(ai * ci for ai, ci in zip(a, c, strict=True)))
    a1 = B @ c[0] / (B @ K[0] @ B)
    return ((alone - theta1) ** 2).sum(), ((a1 * B - theta1) ** 2).sum()


# %%
cosines, seeds = np.array([0, 0.25, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1]), range(lesson.seed, lesson.seed + 40)
risks = np.array([[excess_risks(c, seed) for seed in seeds] for c in cosines])          # (angles, seeds, 2)
gains = risks[:, :, 0] - risks[:, :, 1]
se = gains.std(axis=1, ddof=1) / np.sqrt(len(seeds))
for c, g, e in zip(cosines, gains.mean(axis=1), se, strict=True):
    lesson.number(f"excess risk saved by sharing at cosine {c:.2f}", f"{g:+.3f} +- {e:.3f}")
lesson.number("excess risk alone", risks[0, :, 0].mean())
changes = cosines[np.flatnonzero(gains.mean(axis=1) > 0)[0]]
lesson.number("sharing starts to help at cosine", float(changes))

# %%
fig, axes = plot.subplots(1, 2)
plot.curves(axes[0], cosines, {"task 1 alone": risks[:, :, 0].mean(axis=1), "shared": risks[:, :, 1].mean(axis=1)})
axes[0].set(xlabel=r"$\cos(\theta_1, \theta_2)$", ylabel=r"excess risk $|\hat\theta_1 - \theta_1|^2$",
            title="Unrelated tasks harm each other")
axes[1].errorbar(cosines, gains.mean(axis=1), yerr=2 * se, fmt="o-", color=plot.COLOURS[0], capsize=4)
axes[1].axhline(0, color="black", linewidth=0.8)
axes[1].set(xlabel=r"$\cos(\theta_1, \theta_2)$", ylabel="saved by sharing (mean, 2 se)",
            title=f"Sharing helps from a cosine of {changes:.2f} on")
lesson.save(fig, "tomaszewska_negative-transfer_angle")

# %% [markdown]
# ## On digits
# The main task has 3 labels for each of 10 digits. The second task is a related one (attributes of 600 digits) or
# an unrelated one (four random answers for each picture).


# %%
def digit_accuracy(seed, second):
    few = starved_digits(labels=3, seed=seed, classes=10)
    rng, net = np.random.default_rng(seed), SharedTrunk(64, (32, 32), (10, 4), rng=seed)
    answers = few.attributes if second == "related" else rng.integers(0, 2, (600, 4)).astype(np.float32)
    labelled = few.digit >= 0

    def losses(net, x, digit, all_x, answers):
        main = cross_entropy(net(x)[0], digit)
        return [main] if second == "none" else [main, binary_cross_entropy(net(all_x)[1], answers)]
    batch = Whole((few.X[labelled], few.digit[labelled], few.X, answers), len(few.X))
    fit(net, losses, batch, optim.Adam(net.parameters(), 3e-3), steps=steps, progress=False)
    with tn.no_grad():
        return 100 * (net(few.X_test)[0].data.argmax(axis=1) == few.digit_test).mean()


tries = range(lesson.seed, lesson.seed + (2 if lesson.quick else 8))
accuracy = {second: np.array([digit_accuracy(s, second) for s in tries]) for second in ("none", "related", "random")}
print(f"  digits (%), 3 labels a class, mean +- spread of {len(tries)} seeds; gain +- standard error; seeds that gain")
for second, a in accuracy.items():
    g = a - accuracy["none"]
    lesson.number(f"second task: {second}", f"{a.mean():.1f} +- {a.std(ddof=1):.1f};  {g.mean():+.1f} +- "
                  f"{g.std(ddof=1) / len(g) ** 0.5:.1f};  {(g > 0).sum()}/{len(g)}")

# %% [markdown]
# ## With --data: two digits on one picture (MultiMNIST), where every task has all its labels

# %%
if lesson.data:
    pairs = multi_mnist(lesson.data, train=4000, test=2000)


def multi_mnist_accuracy(seed, split, steps):
    net = SharedTrunk(784, (100, 50), (10, 10), split=split, rng=seed)

    def losses(net, x, *digits):
        return [cross_entropy(z, t) for z, t in zip(net(x), digits, strict=True)]
    fit(net, losses, (pairs.X_train, *pairs.y_train), optim.Adam(net.parameters(), 1e-3), steps=steps, batch_size=100,
        rng=seed, progress=False)
    with tn.no_grad():
        return [100 * (z.data.argmax(axis=1) == t).mean() for z, t in zip(net(pairs.X_test), pairs.y_test, strict=True)]


if lesson.data:
    for split, name in enumerate(("separate nets", "first layer shared", "all but the heads shared")):
        a = np.array([multi_mnist_accuracy(s, split, 20 if lesson.quick else 600) for s in range(3)])
        lesson.number(f"MultiMNIST: {name}, left and right (%)", a.mean(axis=0).round(1))

# %%
related, random = (accuracy[second] - accuracy["none"] for second in ("related", "random"))


def told(gain):
    noise = gain.std(ddof=1) / len(gain) ** 0.5
    return f"{gain.mean():+.1f}" + ("" if abs(gain.mean()) > 3 * noise else " (within the noise)")


lesson.shown(f"two linear tasks help each other from cosine {changes:.2f} on and harm each other below; on digits a "
             f"related task changes the accuracy by {told(related)}, a random one by {told(random)}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet import engine
# from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy_forward
# from tinynet.blocks.losses.cross_entropy import cross_entropy
# from tinynet.models.tasks.shared_trunk import SharedTrunk
#
#
# def cosine(a, b):
#     return (a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
#
#
# x, labels = np.random.default_rng(0).normal(size=(8, 5)), np.arange(8) % 2
# net = SharedTrunk(5, (4,), (2, 2), rng=0, dtype=float)
# W = net.layers[0].W
# ```
#
# **1.** Two tasks have the same loss but for a factor 1,000. What is the cosine between their gradients in the trunk?
#
# <details><summary>Answer</summary>
#
# 1: the angle says nothing of the sizes. The larger one takes the trunk all the same.
#
# ```python
# L = cross_entropy(net(x)[0], labels)
# a, b = (engine.gradients(loss, [W])[0].ravel() for loss in (L, 1000 * L))
# [cosine(a, b), np.linalg.norm(b) / np.linalg.norm(a)]      # -> [1, 1000]
# ```
#
# </details>
#
# **2.** Two gradients in the plane at 120 degrees, of length 1: how long is their sum?
#
# <details><summary>Answer</summary>
#
# 1: the step helps each of them half as much as its own would.
#
# ```python
# a, b = np.array([1.0, 0]), np.array([-0.5, 3 ** 0.5 / 2])
# [np.linalg.norm(a + b), (a + b) @ a]      # -> [1, 0.5]
# ```
#
# </details>
#
# **3.** And at 180 degrees?
#
# <details><summary>Answer</summary>
#
# 0: nothing is learnt any more.
#
# ```python
# np.linalg.norm(np.array([1.0, 0]) + np.array([-1.0, 0]))      # -> 0
# ```
#
# </details>
#
# **4.** K yes-or-no questions, all logits 0: the loss?
#
# <details><summary>Answer</summary>
#
# log 2, whatever K is, because the loss is a mean.
#
# ```python
# [binary_cross_entropy_forward(np.zeros((3, K)), np.ones((3, K)))[0] for K in (1, 14)]      # -> [0.693, 0.693]
# ```
#
# </details>
#
# **5.** Ten tasks share a trunk of 1,000 weights, each has a head of 100: how many weights, beside ten nets of their
# own?
#
# <details><summary>Answer</summary>
#
# 2,000 beside 11,000.
#
# ```python
# [1000 + 10 * 100, 10 * (1000 + 100)]      # -> [2000, 11000]
# ```
#
# </details>
