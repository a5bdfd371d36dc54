# %% [markdown]
# # Auxiliary tasks

# %% [markdown]
"""Multi-task learning, hard and soft, and four kinds of auxiliary task: which of them help?

Slides: shi fig10, fig11, fig12, aux
Blocks: linear, cross_entropy, binary_cross_entropy, mean_squared_error, soft_sharing
Run time: 33 s, --quick 2 s (one core)
Figures: shi_fig11_fig12_sharing.png, shi_fig10_parameters-of-two-tasks.png, shi_aux_gains.png

An auxiliary task is one whose answers nobody wants: it is there to help the main task. Each kind is run
beside a control, the same auxiliary task with shuffled or random answers.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import diagrams, engine, optim, plot
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.data.task_toys import bars_on_digits, half_spaces, one_plane, starved_digits
from tinynet.lesson import lesson
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_sharing_net import SoftSharingNet
from tinynet.train import fit
from tinynet.train.batches import Whole

seeds = range(lesson.seed, lesson.seed + (2 if lesson.quick else 8))

# %% [markdown]
# ## shi fig11 and shi fig12: two fixed ways of sharing
# In hard sharing the tasks share their first layers. In soft sharing each task has a net of its own, and a penalty
# keeps the nets' parameters near one another.

# %%
fig, (left, right) = plot.subplots(1, 2, height=3.6)
diagrams.hard_sharing(left)
diagrams.soft_sharing(right)
left.set_title("Hard sharing")
right.set_title("Soft sharing (dotted: the penalty)")
lesson.save(fig, "shi_fig11_fig12_sharing")

# %% [markdown]
# ## fig10-fig12: which parameters does a task's loss move?
# *Hard* (fig11): the layers are one and the same for all tasks. *Soft* (fig12): each task has its own, and a penalty
# $\lambda \sum_l |W_l^A - W_l^B|^2$ lets the other task's layers follow.

# %%
data = starved_digits(labels=40, seed=lesson.seed)
nets = {"separate": SeparateNets, "hard (fig11)": SharedTrunk, "soft (fig12)": SoftSharingNet}
moved = {}
for name, make in nets.items():
    net = make(64, (32, 32), (10, 4), rng=lesson.seed)
    known = data.digit >= 0
    loss = cross_entropy(net(data.X[known])[0], data.digit[known])
    loss = loss + 1e-2 * net.penalty() if name.startswith("soft") else loss
    W = net.layers[0].W
    g, = engine.gradients(loss, [W])
    of_each = [g, g] if g.ndim == 2 else list(g)        # a shared layer is both tasks' layer
    moved[name] = [np.linalg.norm(part) for part in of_each]
    lesson.number(f"{name}: |dL_A/dW| on A's, on B's first layer", moved[name])

# %%
fig, ax = plot.subplots()
for k, task in enumerate(("task A's first layer", "task B's first layer")):
    ax.bar(np.arange(3) + 0.4 * k - 0.2, [m[k] for m in moved.values()], 0.38, color=plot.COLOURS[k],
           hatch=("", "//")[k], edgecolor="white", label=task)
ax.set(xticks=range(3), xticklabels=moved, ylabel=r"norm of $\partial L_A / \partial W$",
       title="Task A's loss reaches task B's layers where they are shared")
ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
ax.legend(loc="upper right", ncols=2)
lesson.save(fig, "shi_fig10_parameters-of-two-tasks")


# %%
def accuracy(seed, sizes, main, test, aux=None, weight=1.0, steps=300, lr=3e-3):
    """Main task's test accuracy (%) after training on main (x, y) and aux (loss, x, targets), each on all its rows."""
    net, aux_loss = SharedTrunk(*sizes, rng=seed), aux and aux[0]

    def losses(net, x, y, *aux):
        parts = [cross_entropy(net(x)[0], y)]
        if aux:
            inputs, targets = aux
            parts.append(weight * aux_loss(net(inputs)[1], targets))
        return parts
    batch = Whole((*main, *(aux[1:] if aux else ())), len(main[0]))
    fit(net, losses, batch, optim.Adam(net.parameters(), lr), steps=20 if lesson.quick else steps, progress=False)
    with tn.no_grad():
        return 100 * (net(test[0])[0].data.argmax(axis=1) == test[1]).mean()


# %% [markdown]
# ## aux: a related task
# Main: which digit, 3 labels a class. Auxiliary: four attributes of 300 other digits.


# %%
def related(seed):
    few = starved_digits(labels=3, seed=seed, classes=10)
    known, rng = few.digit >= 0, np.random.default_rng(seed)
    main, test = (few.X[known], few.digit[known]), (few.X_test, few.digit_test)
    x, answers = few.X[~known][:300], few.attributes[~known][:300]
    aux = {"none": None, "auxiliary": (binary_cross_entropy, x, answers),
           "control": (binary_cross_entropy, x, rng.permutation(answers))}
    return {name: accuracy(seed, (64, (32, 32), (10, 4)), main, test, a, steps=200) for name, a in aux.items()}


# %% [markdown]
# ## aux: hints
# Main: is $x \in R^{20}$ on the positive side of an odd number of two planes? Auxiliary: on which side of each.


# %%
def hints(seed):
    p, rng = half_spaces(seed), np.random.default_rng(seed)
    random = rng.integers(0, 2, p.sides.shape).astype(np.float32)
    aux = {"none": None, "auxiliary": (binary_cross_entropy, p.X, p.sides),
           "control": (binary_cross_entropy, p.X, random)}
    return {name: accuracy(seed, (20, (32, 32), (2, 2)), (p.X, p.y), (p.X_test, p.y_test), a)
            for name, a in aux.items()}


# %% [markdown]
# ## aux: focusing attention
# Main: does a bar of three pixels lie or stand? Below it is a digit, which is clutter. Auxiliary: which pixels are the
# bar's. Once with clutter as bright as the digits are, once with clutter of 30 % of that, where the bar stands out.


# %%
def attention(seed, clutter=1.0):
    p, rng = bars_on_digits(100 + seed, clutter=clutter), np.random.default_rng(seed)
    aux = {"none": None, "auxiliary": (binary_cross_entropy, p.X, p.where),
           "control": (binary_cross_entropy, p.X, rng.permutation(p.where))}
    return {name: accuracy(seed, (100, (48, 48), (2, 100)), (p.X, p.y), (p.X_test, p.y_test), a, weight=3.0)
            for name, a in aux.items()}


# %% [markdown]
# ## aux: representation learning
# Main: 60 examples of two classes, which depend on 2 of 20 directions of the input. Auxiliary: six regressions on 200
# other inputs, which depend on the same 2 directions. So the layer that both share can learn them from the regressions.
# Beside the shuffled answers stands another comparison: right answers of regressions that depend on 2 other directions.


# %%
def representation(seed):
    p, rng = one_plane(seed), np.random.default_rng(seed)
    answers = {"auxiliary": p.same_plane, "control": rng.permutation(p.same_plane), "other-plane": p.other_plane}
    aux = {"none": None, **{name: (mean_squared_error, p.Z, told) for name, told in answers.items()}}
    return {name: accuracy(seed, (20, (8, 16), (2, 6)), (p.X, p.y), (p.X_test, p.y_test), a, lr=1e-2)
            for name, a in aux.items()}


# %% [markdown]
# Reconstruction is the auxiliary task that is named most often for this purpose. Main: which digit, 3 labels a class.
# Auxiliary: reconstruct the pictures (600 without labels). Control: reconstruct another picture.


# %%
def reconstruction(seed):
    few = starved_digits(labels=3, seed=seed, classes=10)
    known, rng = few.digit >= 0, np.random.default_rng(seed)
    main, test = (few.X[known], few.digit[known]), (few.X_test, few.digit_test)
    aux = {"none": None, "auxiliary": (mean_squared_error, few.X, few.X),
           "control": (mean_squared_error, few.X, rng.permutation(few.X))}
    return {name: accuracy(seed, (64, (32, 32), (10, 64)), main, test, a, weight=3.0, steps=200)
            for name, a in aux.items()}


# %%
kinds = {"related task": related, "hints": hints, "focusing attention": attention,
         "attention, dim clutter": lambda seed: attention(seed, clutter=0.3),
         "representation learning": representation, "by reconstruction": reconstruction}
gains = {}
for kind, run in kinds.items():
    runs = [run(seed) for seed in seeds]
    none = np.array([r["none"] for r in runs])
    lesson.number(f"{kind}: main task alone (%)", f"{none.mean():.1f} +- {none.std(ddof=1):.1f}")
    for which in list(runs[0])[1:]:
        g = np.array([r[which] for r in runs]) - none
        gains[kind, which] = g.mean(), g.std(ddof=1) / len(g) ** 0.5
        lesson.number(f"  with {which}: gain, seeds that gain",
                      f"{g.mean():+.1f} +- {gains[kind, which][1]:.1f};  {(g > 0).sum()}/{len(g)}")

# %%
fig, ax = plot.subplots()
labels = {"auxiliary": "auxiliary task", "control": "control: wrong answers"}
for k, which in enumerate(labels):
    mean, se = np.array([gains[kind, which] for kind in kinds]).T
    ax.bar(np.arange(len(kinds)) + 0.4 * k - 0.2, mean, 0.38, yerr=2 * se, capsize=4, color=plot.COLOURS[k],
           hatch=("", "//")[k], edgecolor="white", label=labels[which])
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xticks=range(len(kinds)), xticklabels=[kind.replace(" ", "\n", 1) for kind in kinds],
       ylabel="gain of the main task (points, 2 se)", title="Auxiliary tasks and their controls")
ax.set_ylim(top=1.35 * ax.get_ylim()[1])
ax.legend(loc="upper right", ncols=2)
lesson.save(fig, "shi_aux_gains")

# %%
help_, do_not = [], []
for kind in kinds:
    mean, se = gains[kind, "auxiliary"]
    (help_ if mean > 3 * se else do_not).append(f"{kind} ({mean:+.1f})")
lesson.shown(f"beyond 3 standard errors these auxiliary tasks help: {', '.join(help_) or 'none'}; these don't: "
             f"{', '.join(do_not) or 'none'}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet import engine
# from tinynet.blocks.losses.cross_entropy import cross_entropy
# from tinynet.blocks.tasks.soft_sharing import squared_distance_backward, squared_distance_forward
# from tinynet.models.tasks.separate_nets import SeparateNets
# from tinynet.models.tasks.shared_trunk import SharedTrunk
#
# x, digit = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32), np.arange(5) % 3
# ```
#
# **1.** Hard sharing: does task A's loss move the first layer of task B?
#
# <details><summary>Answer</summary>
#
# Yes, it is the same layer.
#
# ```python
# net = SharedTrunk(6, (4,), (3, 2), rng=0)
# g, = engine.gradients(cross_entropy(net(x)[0], digit), [net.layers[0].W])
# bool(g.any())      # -> True
# ```
#
# </details>
#
# **2.** And the head of task B?
#
# <details><summary>Answer</summary>
#
# No: a head hears its own task alone.
#
# ```python
# g, = engine.gradients(cross_entropy(net(x)[0], digit), [net.heads[1].W])
# bool(np.any(g))      # -> False
# ```
#
# </details>
#
# **3.** How many parameters do two nets have, beside one trunk with two heads (6 inputs, 4 units, 3 and 2 outputs)?
#
# <details><summary>Answer</summary>
#
# 81 beside 53: the trunk's 28 count once.
#
# ```python
# [sum(p.size for p in kind(6, (4,), (3, 2), rng=0).parameters()) for kind in (SeparateNets, SharedTrunk)]
# # -> [81, 53]
# ```
#
# </details>
#
# **4.** Soft sharing: the tasks' layers are 1 and 4. What does the penalty cost, and which way does it pull?
#
# <details><summary>Answer</summary>
#
# 9. Each is pulled towards the other, by 2 times the distance.
#
# ```python
# P, cache = squared_distance_forward(np.array([[1.0], [4.0]]))
# [P, *squared_distance_backward(1.0, cache).ravel()]      # -> [9, -6, 6]
# ```
#
# </details>
#
# **5.** Auxiliary answers are shuffled: why is that run beside each auxiliary task? How many of 1,000 shuffled 0s and
# 1s stay right?
#
# <details><summary>Answer</summary>
#
# About half: a gain with shuffled answers is no gain from the answers.
#
# ```python
# answers = np.arange(1000) % 2
# (np.random.default_rng(0).permutation(answers) == answers).mean()      # -> 0.49
# ```
#
# </details>
