# %% [markdown]
# # A fast convolution in six steps

# %% [markdown]
"""Six forms of one convolution: what makes each of them faster than the one before?

Slides: csc321 vgg
Blocks: conv
Run time: 15 s, --quick 4 s (one core); the first run compiles for up to half a minute
Figures: csc321_vgg_ladder.png

All compute the same sum for 64 images of 16 channels and 32 x 32 pixels, by 16 filters of 3 x 3.  Which of the last
forms wins depends on processor and shape, so the ratios are measured here and now.  Each form's time holds its
margin of zeros.  Forms 4 to 6 get the images with the batch last in memory already, because a net turns them once, at
its first layer; the time for that is printed beside the six.
"""

# %%
import time

import numpy as np

from tinynet import plot
from tinynet.blocks.images.batch_last import batch_first, batch_last
from tinynet.blocks.images.conv import conv_forward, direct, im2col, winograd
from tinynet.blocks.images.windows import walk
from tinynet.jit import jit
from tinynet.lesson import lesson

rng = np.random.default_rng(lesson.seed)
N, C, K, H = (16 if lesson.quick else 64), 16, 16, 32
X, W = (rng.normal(size=size).astype(np.float32) for size in ((N, C, H, H), (K, C, 3, 3)))
way, x = walk(X, 3, padding=1), batch_last(X)
work = 2 * N * K * C * 9 * H * H                # multiplications and additions of the direct sum
lesson.number("additions and multiplications, in millions", work / 1e6)

# %% [markdown]
# ## 1. Seven loops, as the formula says
# $$ Y_{nkij} = \sum_{c,r,s} W_{kcrs} X_{n,c,i+r-1,j+s-1} $$
# Python looks up types and makes an object for each number; the time for one image and one filter is scaled up.


# %%
def seven_loops(Xp, W, Y):
    (images, filters, rows, columns), channels = Y.shape, W.shape[1]
    for n in range(images):
        for k in range(filters):
            for i in range(rows):
                for j in range(columns):
                    total = 0.0
                    for c in range(channels):
                        for r in range(3):
                            for s in range(3):
                                total += W[k, c, r, s] * Xp[n, c, i + r, j + s]
                    Y[n, k, i, j] = total


def in_python():
    Y = np.empty((1, 1, H, H), np.float32)
    seven_loops(way.padded(X[:1]), W[:1], Y)
    return Y


# %% [markdown]
# ## 2. The seven loops, compiled
# The same source as machine code.  It still adds one number after the other, because a sum has to be added in its
# order: the processor's vectors stay empty.

# %%
compiled = jit(seven_loops)


def by_compiled_loops():
    Y = np.empty((N, K, H, H), np.float32)
    compiled(way.padded(X), W, Y)
    return Y


# %% [markdown]
# ## 3. Nine products, one for each tap
# The block's plain form: for one tap the sum over channels is a product of matrices, and BLAS fills the vectors.
# Y is read and written nine times.

# %%
def by_taps():
    return conv_forward(X, W, padding=1)[0]


# %% [markdown]
# ## 4. One product for all taps (im2col)
# The pixels under each window become a column of a matrix; then one product does all taps at once, a few rows of Y at
# a time, so that the columns stay in the processor's cache.  Y is written once, but each pixel is copied nine times.

# %%
def by_columns():
    return batch_first(im2col.forward(x, W, way, 1))


# %% [markdown]
# ## 5. Direct, with the batch last in memory
# For one tap the images of a whole row lie side by side.  Three rows are copied with their margins for each row of Y,
# so that a pixel is copied three times in place of nine.  All nine shifts are runs of these rows, and they meet two
# filters at a time: 18 multiplications need 9 numbers from memory.  (With stride 2 the copy lays even and odd columns
# apart.)

# %%
def directly():
    return batch_first(direct.forward(x, W, way, 1))


# %% [markdown]
# ## 6. Fewer multiplications (Winograd)
# $$ y = A^T \left[(G w G^T) \odot (B^T d\, B)\right] A $$
# $d$ is a tile of 6 x 6 pixels, $w$ a filter and $y$ the 4 x 4 results; $B$, $G$ and $A$ are fixed matrices of small
# numbers. In place of 144 multiplications there are 36, those of $\odot$: what the fixed matrices do is shared by all
# filters or all channels.

# %%
def by_winograd():
    return batch_first(winograd.forward(x, W, way, 1))


# %%
def best_time(form, repeats=7):
    """Seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        form()
        times.append(time.perf_counter() - start)
    return min(times)


# %%
ladder = {"1 seven loops": (in_python, N * K), "2 compiled": (by_compiled_loops, 1), "3 nine products": (by_taps, 1),
          "4 im2col": (by_columns, 1), "5 direct": (directly, 1), "6 Winograd": (by_winograd, 1)}
exact = conv_forward(X.astype(float), W.astype(float), padding=1)[0]
seconds, gaps = {}, {}
for name, (form, scale) in ladder.items():
    y = form()                                                      # compile, and settle
    gaps[name] = np.linalg.norm(y - exact[:len(y), :y.shape[1]]) / np.linalg.norm(exact[:len(y), :y.shape[1]])
    seconds[name] = scale * best_time(form, 1 if scale > 1 else 7)
for before, name in zip([None, *seconds], seconds, strict=False):
    times_faster = "" if before is None else f", {seconds[before] / seconds[name]:.3g} times the one before"
    lesson.number(f"{name}: ms{times_faster}", 1e3 * seconds[name])
lesson.number("turning the images, once for a net: ms", 1e3 * best_time(lambda: batch_last(X)))
lesson.number("largest relative error of a form (float32)", max(gaps.values()))
assert max(gaps.values()) < 1e-5

# %%
fig, ax = plot.subplots()
bars = ax.barh(list(seconds), [work / s / 1e9 for s in seconds.values()], color=plot.COLOURS[0])
ax.bar_label(bars, fmt="%.3g", padding=3)
ax.set(xscale="log", xlabel="thousand million additions and multiplications of the direct sum, a second",
       title=f"{N} images, {C} to {K} channels, {H} x {H} pixels", xlim=(None, 5 * work / min(seconds.values()) / 1e9))
ax.invert_yaxis()
lesson.save(fig, "csc321_vgg_ladder")
gain = seconds["1 seven loops"] / min(seconds.values())
lesson.shown(f"six forms of one sum: the fastest, {min(seconds, key=seconds.get)[2:]}, is {gain:,.0f} times as fast as "
             "seven loops in Python")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.images.conv import conv_forward
#
# rng = np.random.default_rng(0)
# ```
#
# **1.** 64 images, 16 to 16 channels, 32 x 32 pixels, 3 x 3 filters: how many multiplications?
#
# <details><summary>Answer</summary>
#
# 151 million.
#
# ```python
# 64 * 16 * 16 * 32 * 32 * 9 / 1e6      # -> 151
# ```
#
# </details>
#
# **2.** im2col copies each pixel how often, and how large is that matrix in float32 (MB)?
#
# <details><summary>Answer</summary>
#
# Nine times: 38 MB for 4 MB of images.
#
# ```python
# [64 * 16 * 32 * 32 * 4 / 1e6, 9 * 64 * 16 * 32 * 32 * 4 / 1e6]      # -> [4.19, 37.7]
# ```
#
# </details>
#
# **3.** Winograd's tiles of 6 x 6 give 4 x 4 results: how many times fewer multiplications?
#
# <details><summary>Answer</summary>
#
# Four times: 36 in place of 16 x 9.
#
# ```python
# 16 * 9 / 36      # -> 4
# ```
#
# </details>
#
# **4.** The same convolution in float32 and in float64: how many digits agree at least?
#
# <details><summary>Answer</summary>
#
# Six. Which form adds in which order decides the seventh.
#
# ```python
# X, W = rng.normal(size=(1, 16, 8, 8)), rng.normal(size=(16, 16, 3, 3))
# Y = conv_forward(X, W)[0]
# single = conv_forward(X.astype('f'), W.astype('f'))[0]
# np.abs(Y - single).max() / np.abs(Y).max() < 1e-6      # -> True
# ```
#
# </details>
#
# **5.** Two filters of 3 x 3 in a row see how many pixels, with how many weights beside one filter of 5 x 5 (one
# channel)?
#
# <details><summary>Answer</summary>
#
# The same 5 x 5, with 18 in place of 25.
#
# ```python
# [3 + 3 - 1, 2 * 9, 5 * 5]      # -> [5, 18, 25]
# ```
#
# </details>
