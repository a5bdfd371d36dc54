# %% [markdown]
# # Three kinds of nets for large images

# %% [markdown]
"""Three kinds of nets for large images side by side: what did depth buy, and what does it cost?

Slides: csc321 alexnet, vgg, imagenet, depth
Blocks: conv, pool, batch_norm, conv_residual, linear
Run time: 20 s, --quick 4 s (one core)
Figures: csc321_alexnet_feature-maps.png, csc321_vgg_feature-maps.png, csc321_imagenet_three-nets.png

The nets are built with random weights, because counting and timing need no others.  To look at a picture of your own
through a net whose weights you bring: TINYNET_PICTURE=cat.jpg TINYNET_WEIGHTS=resnet50.npz (or .safetensors) and
TINYNET_NET=50; tinynet/bridges/torchvision.py says how the file is made.  Classes are printed by their numbers; the
names stand in that order in torchvision.models.ResNet50_Weights.DEFAULT.meta["categories"].
"""

# %%
import os
import time
from functools import partial
from itertools import groupby

import numpy as np

from tinynet import plot
from tinynet.backend import no_grad
from tinynet.engine import Step, Tensor
from tinynet.lesson import lesson
from tinynet.models.images.alex_net import AlexNet
from tinynet.models.images.res_net import DEPTHS, ResNet
from tinynet.models.images.vgg import STAGES, VGG16

# %% [markdown]
# A picture and weights of your own are read first, so that a wrong name is told before anything is computed.

# %%
picture, weights = os.environ.get("TINYNET_PICTURE"), os.environ.get("TINYNET_WEIGHTS")
own = {}
if picture or weights:
    from tinynet.bridges.torchvision import load_torchvision
    from tinynet.data.images import photo

    kind = os.environ.get("TINYNET_NET", "50")
    kinds = {"alexnet": AlexNet, "vgg16": VGG16, **{str(depth): partial(ResNet, depth) for depth in DEPTHS}}
    if not (picture and weights and kind in kinds):
        raise ValueError(f"a picture of your own: TINYNET_PICTURE is {picture}, TINYNET_WEIGHTS {weights}, TINYNET_NET "
                         f"{kind}; give the two files, and a net out of {', '.join(kinds)}")
    own = {"image": photo(picture), "net": load_torchvision(kinds[kind](), weights).eval()}

# %% [markdown]
# ## The deck's numbers: top-5 error on ImageNet
# They can't be measured here (ImageNet isn't free to copy), so they stand as quoted.

# %%
QUOTED = {"GoogLeNet (before)": 6.6, "human": 5.1, "ResNet-152": 4.49, "ResNets, an ensemble": 3.57}
for name, error in QUOTED.items():
    lesson.number(f"{name}: top-5 error %", "not run", error, "csc321 imagenet")

# %% [markdown]
# "Researchers were able to train ResNets with more than 1000 layers, but classification performance leveled off by
# 150." Those of He et al. learnt CIFAR-10 (their table 6).

# %%
for layers, error in {110: 6.43, 1202: 7.93}.items():
    lesson.number(f"{layers:,} layers on CIFAR-10: test error %", "not run", error, "He et al. 2016")

# %% [markdown]
# ## Counting by looking at the tape
# One image goes through a net with the tape on.  Every convolution and every layer of units on the tape says what it
# got and gave:
# $$ \text{multiplications} = K\, C R S \; H_o W_o, \qquad \text{of a layer of units: } D_{in} D_{out} $$


# %%
def layers_of(y):
    """(kind, shape of the weights, shape of the maps) of every layer of weights behind y, first to last."""
    found, step = [], y.step
    while isinstance(step, Step):
        if step.op.name == "linear":
            found.append(("linear", step.cache[1].shape, step.shape))
        elif step.op.name == "conv":
            found.append(_layer(step.cache))
        elif step.op.name == "conv_residual":
            found += [_layer(cache) for (_, cache), _ in reversed(step.cache[0])]
            option, kept = step.cache[1]
            if option == "B":
                found.append(_layer(kept[0][1], kind="shortcut"))
        step = step.parents[0]
    return found[::-1]


def _layer(cache, kind="conv"):
    X, W, _, way = cache[:4]
    return kind, W.shape, (len(X), len(W), *way.out)


def multiplications(layers):
    return sum(int(np.prod(W)) * int(np.prod(maps[2:], dtype=int)) for _, W, maps in layers)


# %% [markdown]
# ## alexnet, vgg, imagenet: the three kinds, the residual net in two depths
# Layers are counted as the papers do: the shortcuts' convolutions don't count. AlexNet is the one-column form of
# Krizhevsky 2014 that libraries ship; the net of 2012 had two columns, one for each graphics card of its time.

# %%
NETS = {"AlexNet": (AlexNet, 8, 61_100_840), "VGG-16": (VGG16, 16, 138_357_544),
        "ResNet-18": (lambda rng: ResNet(18, rng=rng), 18, 11_689_512),
        "ResNet-50": (lambda rng: ResNet(50, rng=rng), 50, 25_557_032),
        "ResNet-152": (lambda rng: ResNet(152, rng=rng), 152, 60_192_808)}
chosen = ["AlexNet", "ResNet-18"] if lesson.quick else ["AlexNet", "VGG-16", "ResNet-50", "ResNet-152"]
image = np.random.default_rng(lesson.seed).normal(size=(1, 3, 224, 224)).astype(np.float32)
facts, shapes = {}, {}
for name in chosen:
    make, depth, published = NETS[name]
    net = make(rng=lesson.seed).eval()
    layers = shapes[name] = layers_of(net(Tensor(image)))
    counted = sum(kind != "shortcut" for kind, *_ in layers)
    parameters = sum(p.size for p in net.parameters())
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with no_grad():
            net(image)
        times.append(time.perf_counter() - start)
    facts[name] = counted, parameters, multiplications(layers), min(times)
    lesson.number(f"{name}: layers of weights", counted, depth, "its paper")
    lesson.number(f"{name}: parameters", parameters, published, "torchvision")
    lesson.number(f"{name}: million multiplications an image", multiplications(layers) / 1e6)
    lesson.number(f"{name}: ms an image here", 1e3 * min(times))
    assert (counted, parameters) == (depth, published)
    del net

# %% [markdown]
# ## vgg: layers by a plan
# 3 x 3 everywhere; each stage halves the side, and doubles the channels up to 512.

# %%
before, plan = 3, []
for stage, widths in enumerate(STAGES):
    for channels in widths:
        plan.append(("conv", (channels, before, 3, 3), (1, channels, 224 >> stage, 224 >> stage)))
        before = channels
plan += [("linear", (d_out, d_in), (1, d_out)) for d_in, d_out in ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000))]
weights = sum(int(np.prod(W)) + W[0] for _, W, _ in plan)               # and a bias for each filter and unit
lesson.number("VGG-16 by its plan: parameters", weights, 138_357_544, "torchvision")
assert weights == 138_357_544
assert shapes.setdefault("VGG-16", plan) == plan

# %% [markdown]
# ## depth: where the weights are
# In AlexNet and VGG most are in the layers of units; a residual net has one such layer, behind the mean of each map.

# %%
for name, layers in shapes.items():
    units = sum(int(np.prod(W)) for kind, W, _ in layers if kind == "linear")
    lesson.number(f"{name}: share of the weights in layers of units, %",
                  100 * units / sum(int(np.prod(W)) for _, W, _ in layers))


# %% [markdown]
# ## The pictures of the slides: smaller and smaller maps, and many of them
# A block's width is the root of its channels, its height the root of its maps' side, so that 3 and 4,096 channels fit
# into one picture. Blocks of one size carry their numbers once.


# %%
def draw_maps(ax, layers):
    from matplotlib.patches import Rectangle

    colours = {"image": plot.COLOURS[4], "conv": plot.COLOURS[0], "linear": plot.GREY}
    blocks = [("image", (1, 3, 224, 224)), *((kind, maps) for kind, _, maps in layers)]
    at = 0.0
    for (kind, maps), equal in groupby(blocks):
        side, left = maps[2] if len(maps) == 4 else 1, at
        for _ in equal:
            ax.add_patch(Rectangle((at, -side ** 0.5 / 2), maps[1] ** 0.5, side ** 0.5, facecolor=colours[kind],
                                   edgecolor="black", linewidth=0.6))
            at += maps[1] ** 0.5 + 3
        for y, number in ((-8.5, maps[1]), (-10.8, side)):
            ax.text((left + at - 3) / 2, y, number, ha="center", va="top")
        at += 15
    ax.set(xlim=(-12, at), ylim=(-13, 8), yticks=[], xticks=[],
           xlabel="layer, first to last; below it: channels, and side in pixels (both drawn as roots)")
    ax.grid(False)
    ax.spines[:].set_visible(False)


for name, file in (("AlexNet", "csc321_alexnet_feature-maps"), ("VGG-16", "csc321_vgg_feature-maps")):
    fig, ax = plot.subplots(height=3.6)
    draw_maps(ax, shapes[name])
    ax.set_title(f"{name}: image, maps of each convolution (dark), layers of units (grey)")
    lesson.save(fig, file)

# %%
fig, axes = plot.subplots(2, 2)
titles = ("Layers of weights", "Million parameters", "Million multiplications", "Milliseconds an image, one thread")
units = (1, 1e6, 1e6, 1e-3)
for ax, title, values, unit in zip(axes.flat, titles, zip(*facts.values(), strict=True), units, strict=True):
    bars = ax.bar(list(facts), [v / unit for v in values], color=plot.COLOURS[0])
    ax.bar_label(bars, fmt="{:,.0f}", fontsize=11)
    ax.set(title=title)
    ax.margins(y=0.12)
    ax.tick_params(axis="x", labelsize=10)
fig.suptitle("Nets for large images, the deepest of them residual")
lesson.save(fig, "csc321_imagenet_three-nets")

# %% [markdown]
# ## A picture of your own

# %%
if own:
    with no_grad():
        logits = own["net"](own["image"]).data[0]
    chance = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    for c in np.argsort(-chance)[:5]:
        lesson.number(f"class {c} of ImageNet, counted from 0: probability", chance[c])

# %%
deepest = chosen[-1]
more = [high / low for high, low in zip(facts[deepest], facts["AlexNet"], strict=True)]
lesson.shown(f"beside AlexNet, {deepest} has {more[0]:.0f} times the layers, {more[1]:.2g} times the parameters and "
             f"{more[2]:.0f} times the multiplications, and takes {more[3]:.1f} times as long for an image here")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# from tinynet.models.images.res_net import DEPTHS
# from tinynet.models.images.vgg import STAGES
# ```
#
# **1.** How many of VGG-16's layers are convolutions?
#
# <details><summary>Answer</summary>
#
# 13. Three layers of units stand behind them.
#
# ```python
# sum(map(len, STAGES))      # -> 13
# ```
#
# </details>
#
# **2.** VGG-16's first layer of units takes 7 x 7 x 512 numbers to 4,096 units: how many of the net's 138 million
# weights?
#
# <details><summary>Answer</summary>
#
# 103 million, three quarters.
#
# ```python
# [7 * 7 * 512 * 4096 / 1e6, 7 * 7 * 512 * 4096 / 138_357_544]      # -> [102.8, 0.743]
# ```
#
# </details>
#
# **3.** A residual net takes the mean of each of 2,048 maps instead: how many weights has its only layer of units
# (1,000 classes)?
#
# <details><summary>Answer</summary>
#
# 2 million.
#
# ```python
# 2048 * 1000 / 1e6      # -> 2.048
# ```
#
# </details>
#
# **4.** A bottleneck takes 256 channels to 64, 3 x 3 among 64, and back to 256. How many weights, beside two layers of
# 3 x 3 on 256?
#
# <details><summary>Answer</summary>
#
# A seventeenth.
#
# ```python
# (2 * 9 * 256 * 256) / (256 * 64 + 9 * 64 * 64 + 64 * 256)      # -> 16.9
# ```
#
# </details>
#
# **5.** Which is the deepest of the paper's nets for ImageNet, and how many blocks of three layers does it have?
#
# <details><summary>Answer</summary>
#
# 152 layers: one in front, one behind, 50 blocks.
#
# ```python
# [max(DEPTHS), (max(DEPTHS) - 2) / 3]      # -> [152, 50]
# ```
#
# </details>
