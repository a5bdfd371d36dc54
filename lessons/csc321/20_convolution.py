# %% [markdown]
# # Convolution

# %% [markdown]
"""What is a convolution, what does a net of them see, and why is a deep one better than a wide one?

Slides: csc321 alexnet, vgg, depth, cnn-jacobian, augment
Blocks: conv, pool, linear, cross_entropy
Run time: 12 s, --quick 5 s (two cores)
Figures: csc321_depth_features.png, csc321_depth_parameters.png

First the block is compared with its sum, written out, and its three gradients with theirs.  Then a small net learns the
digits, and we look into it.  Last, two tasks show how many parameters depth saves.
"""

# %%
from itertools import product

import numpy as np

from tinynet import nn, plot
from tinynet.backend import no_grad
from tinynet.blocks.images.conv import Conv, conv_backward, conv_forward
from tinynet.blocks.images.pool import MaxPool, max_pool_backward, max_pool_forward
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.check import gradcheck
from tinynet.data.digits import digits
from tinynet.data.images import pad_and_crop
from tinynet.lesson import lesson
from tinynet.optim import Adam
from tinynet.train import evaluate, fit

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## One sum for every place
# $$ Y_{nkij} = b_k + \sum_{c,r,s} W_{kcrs}\, X_{n,c,i+r,j+s} $$
# The same few weights look at every place of the image, where a layer of units has a weight for each pixel and unit.

# %%
X, W, b = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)
Y, cache = conv_forward(X, W, b)
written = np.array([b[k] + (W[k] * X[n, :, i:i + 3, j:j + 3]).sum() for n, k, i, j in np.ndindex(Y.shape)])
assert abs(Y.ravel() - written).max() < 1e-12, "block v. the sum, largest difference"
lesson.number("weights of the convolution", W.size)
lesson.number("weights of a layer of units from 3 x 8 x 8 to 4 x 6 x 6", X[0].size * Y[0].size)

# %% [markdown]
# ## Its three gradients
# $$ \frac{\partial L}{\partial W_{kcrs}} = \sum_{n,i,j} dY_{nkij} X_{n,c,i+r,j+s}, \qquad
#    \frac{\partial L}{\partial b_k} = \sum_{n,i,j} dY_{nkij} $$
# $dX$ is a convolution, too: of $dY$ with a margin of two zeros, by the filters turned through 180 degrees.

# %%
dY = rng.normal(size=Y.shape)
dX, dW, db = conv_backward(dY, cache)
turned, _ = conv_forward(dY, W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), padding=2)
by_sum = np.array([(dY[:, k] * X[:, c, r:r + 6, s:s + 6]).sum() for k, c, r, s in np.ndindex(W.shape)])
assert abs(dX - turned).max() < 1e-12, "dX v. the convolution with turned filters"
assert abs(dW.ravel() - by_sum).max() < 1e-12, "dW v. its sum"
assert abs(db - dY.sum(axis=(0, 2, 3))).max() < 1e-12, "db v. its sum"
report = gradcheck(conv_forward, conv_backward, X[:1, :, :4, :4], W, b)
lesson.number("all three pass the gradient check", report.ok, "yes")
assert report.ok

# %% [markdown]
# ## Pooling keeps the largest number of each window
# Its gradient goes to that number alone; where two are equal, to the first.

# %%
image = np.array([[1, 3, 2, 2], [0, 2, 2, 2], [5, 4, 0, 0], [1, 1, 0, 9.0]])
pooled, cache = max_pool_forward(image[None, None])
back = max_pool_backward(np.ones(pooled.shape), cache)[0, 0]
lesson.number("2 x 2 maxima of a 4 x 4 image", pooled.ravel(), [3, 2, 5, 9], "by hand")
lesson.number("where their gradient goes (row by row)", np.flatnonzero(back), [1, 2, 8, 15], "by hand")
assert np.flatnonzero(back).tolist() == [1, 2, 8, 15]

# %% [markdown]
# ## A small net learns the digits
# Two convolutions of 3 x 3, a maximum of 2 x 2 behind each, and one layer of units.

# %%
data = digits(lesson.seed)
images = data.X_train.reshape(-1, 1, 8, 8)
front = nn.Sequential(Conv(1, 8, 3, padding=1, rng=rng), relu, MaxPool(2))
back_part = nn.Sequential(Conv(8, 16, 3, padding=1, rng=rng), relu, MaxPool(2))


class Net(nn.Module):
    """X (N, 1, 8, 8) -> logits (N, 10)."""

    def __init__(self):
        self.first, self.second, self.last = front, back_part, Linear(64, 10, rng=rng)

    def forward(self, X):
        maps = self.second(self.first(X))
        return self.last(maps.reshape(len(maps), -1))


def accuracy(net, X, y):
    return float((net(X).data.argmax(axis=1) == y).mean())


net = Net()
fit(net, lambda net, X, y: cross_entropy(net(X), y), (images, data.y_train), Adam(net.parameters(), 0.005),
    2 if lesson.quick else 12, batch_size=64, rng=lesson.seed, progress=False)
test = evaluate(net, None, (data.X_test.reshape(-1, 1, 8, 8), data.y_test), {"accuracy": accuracy})["accuracy"]
lesson.number("parameters", sum(p.size for p in net.parameters()))
lesson.number("test accuracy %", 100 * test)

# %% [markdown]
# ## What excites a filter
# A number of the second layer sees 8 x 8 pixels through the first pooling: more of the image, and more special things.
# For each filter we look for the training image that it answers most.

# %%
with no_grad():
    first = relu(front[0](images)).data
    second = relu(back_part[0](front(images))).data
digit = images[int(np.flatnonzero(data.y_train == 3)[0])]
best = second.max(axis=(2, 3)).argmax(axis=0)
kinds = [len({int(data.y_train[i]) for i in np.argsort(-maps.max(axis=(2, 3)), axis=0)[:30, k]})
         for maps in (first, second) for k in range(8)]
lesson.number("classes among the 30 images a filter answers most, layer 1", np.mean(kinds[:8]))
lesson.number("the same, layer 2", np.mean(kinds[8:]), "fewer", "csc321 depth")

# %%
fig, axes = plot.subplots(4, 8, height=7)
maps = relu(front[0](digit[None])).data[0]
rows = [("filter, layer 1", front[0].W.data[:, 0]), ("map of a 3", maps),
        ("map, layer 2", back_part[0](front(digit[None])).data[0, :8].clip(0)),
        ("best image", images[best[:8], 0])]
for row, (title, pictures) in enumerate(rows):
    for column, picture in enumerate(pictures):
        ax = axes[row, column]
        ax.imshow(picture, cmap="gray_r")          # dark is large
        ax.set(xticks=[], yticks=[], title=f"{title}" if column == 0 else f"{column + 1}")
        ax.title.set_fontsize(11)
lesson.save(fig, "csc321_depth_features")

# %% [markdown]
# ## augment: the validation images, too?  The test images?
# The net is measured on the test images as they are, and on images that were moved by up to a pixel, in ten draws.
# The moved ones answer another question, and each draw answers it differently: so neither is augmented.

# %%
X_test, draws = data.X_test.reshape(-1, 1, 8, 8), []
for draw in range(10):
    moved = pad_and_crop(X_test, np.random.default_rng(draw), pad=1)
    draws.append(100 * (1 - evaluate(net, None, (moved, data.y_test), {"accuracy": accuracy})["accuracy"]))
lesson.number("test error %, images as they are", 100 * (1 - test), "measure this", "csc321 augment")
lesson.number("test error %, moved: lowest, mean and highest draw", [min(draws), np.mean(draws), max(draws)],
              "not this", "csc321 augment")

# %% [markdown]
# ## Why depth: the same view for fewer weights
# Two convolutions of 3 x 3 see 5 x 5 pixels and three see 7 x 7, as one large filter does (VGG's reason).
# For $C$ channels they need $18 C^2$ and $27 C^2$ weights, where the large filters need $25 C^2$ and $49 C^2$.

# %%
C = 64
for layers in (2, 3):
    side = 2 * layers + 1
    stack = nn.Sequential(*[Conv(C, C, 3, padding=1, bias=False, rng=0) for _ in range(layers)])
    one = Conv(C, C, side, padding=side // 2, bias=False, rng=0)
    counts = [sum(p.size for p in part.parameters()) / C ** 2 for part in (stack, one)]
    lesson.number(f"{layers} layers of 3 x 3 v. one of {side} x {side}: weights / C^2", counts, [9 * layers, side ** 2])
    assert counts == [9 * layers, side ** 2]

# %% [markdown]
# ## Why depth: two layers are enough in theory, at a price
# The parity of $n$ bits.  A deep net takes in one bit after the other, with two units a bit:
# $p \leftarrow p + x - 2\,\mathrm{relu}(p + x - 1)$.
# A net with one hidden layer, whose units know one odd pattern each, needs $2^{n-1}$ of them.


# %%
def deep_parity(bits):
    """(parity of each row, weights): two relu units a bit, each with two weights and a bias, and two weights behind."""
    p = bits[:, 0]
    for x in bits.T[1:]:
        p = np.maximum(p + x, 0) - 2 * np.maximum(p + x - 1, 0)
    return p, 8 * (bits.shape[1] - 1)


def shallow_parity(bits):
    """(the same, weights): a unit for each pattern with an odd number of ones: n weights, a bias, one weight behind."""
    n = bits.shape[1]
    odd = np.array([pattern for pattern in product((0, 1), repeat=n) if sum(pattern) % 2])
    hidden = np.maximum(bits @ (2 * odd - 1).T - odd.sum(axis=1) + 1, 0)       # 1 for its own pattern, else 0
    return hidden.sum(axis=1), len(odd) * (n + 2)


sizes = range(2, 9 if lesson.quick else 11)
weights = []
for n in sizes:
    bits = np.array(list(product((0, 1), repeat=n)))
    results = [net_of(bits) for net_of in (deep_parity, shallow_parity)]
    assert all(np.array_equal(parity, bits.sum(axis=1) % 2) for parity, _ in results)
    weights.append([count for _, count in results])
lesson.number(f"weights for the parity of {sizes[-1]} bits: deep, shallow", weights[-1], "exponentially more",
              "csc321 depth")
fig, ax = plot.subplots()
plot.curves(ax, sizes, {"deep: 8 (n - 1)": [w[0] for w in weights],
                        "one hidden layer: $(n + 2)\\, 2^{n-1}$": [w[1] for w in weights]}, legend="upper left")
ax.set(xlabel="bits n", ylabel="weights", yscale="log", title="Parity of n bits, both nets right on all inputs")
lesson.save(fig, "csc321_depth_parameters")
lesson.shown(f"one filter serves all places, so {W.size} weights do what {X[0].size * Y[0].size:,} would; for the "
             f"parity of {sizes[-1]} bits a deep net needs {weights[-1][0]} weights, one hidden layer "
             f"{weights[-1][1]:,}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.images.conv import conv_backward, conv_forward
# from tinynet.blocks.images.pool import max_pool_backward, max_pool_forward
#
# X, W = np.random.default_rng(0).normal(size=(2, 1, 1, 8, 8))[:, :, 0], np.ones((1, 1, 3, 3))
# ```
#
# **1.** 8 x 8 pixels, a filter of 3 x 3, no margin: how large is the map?
#
# <details><summary>Answer</summary>
#
# 6 x 6.
#
# ```python
# conv_forward(X, W)[0].shape      # -> (2, 1, 6, 6)
# ```
#
# </details>
#
# **2.** The image moves one pixel to the right: what happens to the map?
#
# <details><summary>Answer</summary>
#
# It moves along, in all places that see no edge.
#
# ```python
# moved = np.roll(X, 1, axis=3)
# np.abs(conv_forward(moved, W)[0][..., 1:] - conv_forward(X, W)[0][..., :-1]).max()      # -> 0
# ```
#
# </details>
#
# **3.** dY = 1 everywhere, 3 x 3 filter: which gradient does a pixel in the middle get, and one in a corner?
#
# <details><summary>Answer</summary>
#
# The sum of all nine weights, and one weight: corners are seen once.
#
# ```python
# dX = conv_backward(np.ones((2, 1, 6, 6)), conv_forward(X, W)[1])[0]
# [dX[0, 0, 4, 4], dX[0, 0, 0, 0]]      # -> [9, 1]
# ```
#
# </details>
#
# **4.** A window of four equal numbers is max-pooled: to which does the gradient go?
#
# <details><summary>Answer</summary>
#
# To the first alone.
#
# ```python
# max_pool_backward(np.ones((1, 1, 1, 1)), max_pool_forward(np.ones((1, 1, 2, 2)))[1]).ravel()      # -> [1, 0, 0, 0]
# ```
#
# </details>
#
# **5.** Weights of a convolution from 3 to 64 channels with 3 x 3 filters, and of a layer of units for 224 x 224
# pixels?
#
# <details><summary>Answer</summary>
#
# 1,728, however large the image is; and 483,385,147,392.
#
# ```python
# [64 * 3 * 3 * 3, (3 * 224 * 224) * (64 * 224 * 224)]      # -> [1728, 483385147392]
# ```
#
# </details>
