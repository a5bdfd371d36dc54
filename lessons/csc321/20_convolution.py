# %% [markdown]
# # Convolution

# %% [markdown]
"""What is a convolution, what does a net of them see, and why is a deep one better than a wide one?

Slides: csc321 vgg, depth, cnn-jacobian, augment
Blocks: conv, pool, linear, cross_entropy
Run time: 12 s, --quick 5 s (one core)
Figures: csc321_depth_features.png, csc321_depth_parameters.png

First the block is compared with its sum, written out, and its three gradients with theirs.  Then small nets learn the
digits: we look into them, and ask which images their errors are to be measured on.  Last, the parameters that depth
saves are counted.
"""

# %%
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
from tinynet.data.images import cutout, noise, pad_and_crop
from tinynet.lesson import lesson
from tinynet.metrics import accuracy
from tinynet.optim import Adam
from tinynet.train import fit

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
of_units = X[0].size * Y[0].size
lesson.number("weights of a layer of units from 3 x 8 x 8 to 4 x 6 x 6", of_units)

# %% [markdown]
# ## Its three gradients
# $$ \frac{\partial L}{\partial W_{kcrs}} = \sum_{n,i,j} dY_{nkij} X_{n,c,i+r,j+s}, \qquad
#    \frac{\partial L}{\partial b_k} = \sum_{n,i,j} dY_{nkij} $$
# $dX$ is a convolution, too: of $dY$ with a margin of two zeros, by the filters turned through 180 degrees. In it $K$
# and $C$ change places, because filter $k$ now reads channel $k$ of $dY$ and adds to channel $c$ of $dX$.

# %%
dY = rng.normal(size=Y.shape)
dX, dW, db = conv_backward(dY, cache)
turned, _ = conv_forward(dY, W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), padding=2)
by_sum = np.array([(dY[:, k] * X[:, c, r:r + 6, s:s + 6]).sum() for k, c, r, s in np.ndindex(W.shape)])
assert abs(dX - turned).max() < 1e-12, "dX v. the convolution with turned filters"
assert abs(dW.ravel() - by_sum).max() < 1e-12, "dW v. its sum"
assert abs(db - dY.sum(axis=(0, 2, 3))).max() < 1e-12, "db v. its sum"
report = gradcheck(conv_forward, conv_backward, X[:1, :, :4, :4], W, b)
lesson.number("all three pass the gradient check", report.ok, "yes", "expected")
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
# ## Small nets learn the digits
# Two convolutions of 3 x 3, a maximum of 2 x 2 behind each, and one layer of units. They learn 1,000 images as they
# are, or changed anew each time they are seen. Each seed has another split into training, validation and test images.

# %%
KINDS = {"as they are": lambda X, rng: X, "with noise": noise,
         "moved": lambda X, rng: pad_and_crop(X, rng, pad=1), "with a hole": lambda X, rng: cutout(X, rng, size=3)}


class Net(nn.Module):
    """X (N, 1, 8, 8) -> logits (N, 10)."""

    def __init__(self, rng):
        rng = np.random.default_rng(rng)
        self.first = nn.Sequential(Conv(1, 8, 3, padding=1, rng=rng), relu, MaxPool(2))
        self.second = nn.Sequential(Conv(8, 16, 3, padding=1, rng=rng), relu, MaxPool(2))
        self.last = Linear(64, 10, rng=rng)

    def forward(self, X):
        maps = self.second(self.first(X))
        return self.last(maps.flatten(1))


def split(seed):
    """(X, y) for training, for validation and for testing."""
    data = digits(seed)
    X, X_test = data.X_train.reshape(-1, 1, 8, 8), data.X_test.reshape(-1, 1, 8, 8)
    return (X[:1000], data.y_train[:1000]), (X[1000:], data.y_train[1000:]), (X_test, data.y_test)


def trained(change, seed):
    net, rng = Net(seed), np.random.default_rng(seed)
    fit(net, lambda net, X, y: cross_entropy(net(change(X, rng)), y), split(seed)[0], Adam(net.parameters(), 0.005),
        2 if lesson.quick else 16, batch_size=64, rng=seed, progress=False)
    return net


seeds = range(lesson.seed, lesson.seed + (1 if lesson.quick else 3))
nets = [[trained(change, seed) for seed in seeds] for change in KINDS.values()]         # one row for each kind
lesson.number("parameters", sum(p.size for p in nets[0][0].parameters()))


def errors(part, change=KINDS["as they are"]):
    """Error in % of every net (kinds, seeds) on its split's part 0, 1 or 2, each image changed."""
    def one(net, seed):
        X, y = split(seed)[part]
        return 100 * (1 - accuracy(net, change(X, np.random.default_rng(seed)), y))

    with no_grad():
        return np.array([[one(net, seed) for net, seed in zip(row, seeds, strict=True)] for row in nets])


test = errors(2)
for kind, found in zip(KINDS, test, strict=True):
    lesson.number(f"trained on images {kind}: test error %, each seed", found)

# %% [markdown]
# ## depth: what excites a filter
# A number of the second layer sees 8 x 8 pixels through the first pooling. What did training make of the filters?
# $a_n$ is a filter's largest answer to test image $n$, and $\bar a_c$ its mean over the images of class $c$. How much
# of a filter's variance does the class explain?
# $$ \operatorname{share} = \frac{\operatorname{Var}_n \bar a_{c(n)}}{\operatorname{Var}_n a_n} $$
# Filters that answer no image are left out. If the features form a hierarchy, training ties layer 2 to the classes more
# than layer 1, which serves all classes.


# %%
def answers(net, X):
    """Each filter's largest answer to each image, layer 1 (N, 8) and layer 2 (N, 16)."""
    with no_grad():
        maps = relu(net.first[0](X)).data, relu(net.second[0](net.first(X))).data
    return [m.max(axis=(2, 3)) for m in maps]


def share_of_classes(a, y):
    a = a[:, a.max(axis=0) > 0]
    means = np.stack([a[y == c].mean(axis=0) for c in range(10)])
    return np.mean(means[y].var(axis=0) / a.var(axis=0))


shares = {state: np.array([[share_of_classes(a, split(seed)[2][1]) for a in answers(net, split(seed)[2][0])]
                           for net, seed in zip(found, seeds, strict=True)])
          for state, found in (("untrained", [Net(seed) for seed in seeds]), ("trained", nets[0]))}
for layer in (0, 1):
    for state, found in shares.items():
        lesson.number(f"variance that the class explains, layer {layer + 1}, {state}", found[:, layer])
grown = (shares["trained"] - shares["untrained"]).mean(axis=0)
lesson.number("by training it grows by, layers 1 and 2, mean over the seeds", grown, "more in layer 2", "csc321 depth")
assert lesson.quick or grown[1] > grown[0]

# %%
(X, y), net = split(lesson.seed)[0], nets[0][0]
three = X[[int(np.flatnonzero(y == 3)[0])]]
second = answers(net, X)[1]
alive = np.flatnonzero(second.max(axis=0))[:8]
with no_grad():
    rows = {"layer 1:\nfilter": net.first[0].W.data[:, 0], "layer 1:\nmap of a 3": relu(net.first[0](three)).data[0],
            "layer 2:\nmap of a 3": relu(net.second[0](net.first(three))).data[0, alive],
            "layer 2:\nbest image": X[second[:, alive].argmax(axis=0), 0]}
fig, axes = plot.subplots(4, 8, height=6)
for row, (title, pictures) in zip(axes, rows.items(), strict=True):
    top, signed = abs(pictures).max(), pictures.min() < 0
    for ax, picture in zip(row, pictures, strict=False):
        shown = plot.image(ax, picture, signed=signed, vmin=-top if signed else 0, vmax=top,
                           cmap=plot.SIGNED if signed else "gray_r")
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(title)
    fig.colorbar(shown, ax=row, ticks=[-top, 0, top] if signed else [0, top], format="%.1f")
fig.suptitle("A net that learnt digits: eight filters of each layer, one scale a row")
lesson.save(fig, "csc321_depth_features")

# %% [markdown]
# ## augment: the validation images, too?
# Validation chooses among the four ways of training. It is run once on images as they are and once on images that were
# moved by up to a pixel. What is the test error, on images as they are, of the way that each of them chooses?

# %%
after = {}
for name in ("as they are", "moved"):
    found = errors(1, KINDS[name])
    chosen = found.argmin(axis=0)                               # for each seed
    after[name] = test[chosen, range(len(seeds))]
    lesson.number(f"validation images {name}: error %, the four ways", found.mean(axis=1))
    lesson.number("    they choose to train on images", ", ".join(list(KINDS)[i] for i in chosen))
    lesson.number("    test error % of what they chose", after[name])
lesson.number("mean: chosen by images as they are, by moved ones", [found.mean() for found in after.values()],
              "not the validation images", "csc321 augment")
assert lesson.quick or after["moved"].mean() > after["as they are"].mean()

# %% [markdown]
# Moved validation images choose the way that copes with moved images, but the images of the task don't move: a digit
# fills its 8 x 8 pixels, and loses its rim when it is moved. So the validation images stay as they are, and a change of
# the training images is worth it where they say so.
#
# ## augment: the test images, too?
# The first nets learnt images as they are. What is their error on test images that were moved, in ten draws?

# %%
for net, seed, error in zip(nets[0], seeds, test[0], strict=True):
    X, y = split(seed)[2]
    with no_grad():
        moved = [100 * (1 - accuracy(net, KINDS["moved"](X, np.random.default_rng(draw)), y)) for draw in range(10)]
    lesson.number(f"seed {seed}: test error %, images as they are", error, "measure this", "csc321 augment")
    lesson.number("    moved: lowest, mean and highest draw", [min(moved), np.mean(moved), max(moved)], "not this",
                  "csc321 augment")
    assert min(moved) > error, "moved images are another question"

# %% [markdown]
# Moved images ask another question, and each draw answers it differently: so the test images stay as they are, too.
# (AlexNet's ten crops of a test image are another matter, because their outputs are averaged to one answer.)

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
    lesson.number(f"{layers} layers of 3 x 3 v. one of {side} x {side}: weights / C^2", counts, [9 * layers, side ** 2],
                  "counted")
    assert counts == [9 * layers, side ** 2]

# %% [markdown]
# ## Why depth: one hidden layer is enough in theory, at a price
# The tent $f(x) = 2\,\mathrm{relu}(x) - 4\,\mathrm{relu}(x - \tfrac12)$ goes from 0 up to 1 and down to 0. Put into
# itself $L$ times, it has $2^L$ straight pieces on $[0, 1]$: two units a layer. In a net with one hidden layer each of
# the $m$ units bends the line at one place, so that it has at most $m + 1$ pieces: it needs at least $2^L - 1$ units
# (Telgarsky 2016, arXiv:1602.04485). All numbers are binary fractions, so that both nets agree to the last bit.


# %%
def deep_tent(L):
    """[(W, b) of each layer]: L hidden layers of two relu units."""
    bend = np.array([0, -0.5])
    return [(np.ones((2, 1)), bend), *[(np.array([[2.0, -4], [2, -4]]), bend)] * (L - 1), (np.array([[2.0, -4]]), 0.0)]


def shallow_tent(L):
    """The same function by one hidden layer: a unit for each place where the line bends, and one for x = 0."""
    places, slopes = np.arange(2 ** L) / 2 ** L, 2.0 ** (L + 1) * (-1.0) ** np.arange(2 ** L)
    slopes[0] /= 2
    return [(np.ones((2 ** L, 1)), -places), (slopes[None], 0.0)]


def output(layers, x):
    for W, b in layers[:-1]:
        x = np.maximum(x @ W.T + b, 0)
    return (x @ layers[-1][0].T + layers[-1][1])[:, 0]


depths, counts = range(1, 6 if lesson.quick else 11), []
for L in depths:
    x = np.arange(2 ** (L + 2) + 1) / 2 ** (L + 2)                  # four steps on each piece
    deep, shallow = deep_tent(L), shallow_tent(L)
    assert np.array_equal(output(deep, x[:, None]), output(shallow, x[:, None])), "both nets, one function"
    pieces = 1 + np.count_nonzero(np.diff(output(deep, x[:, None]), 2))
    assert pieces == 2 ** L, "straight pieces, counted"
    counts.append([sum(np.size(a) for layer in net for a in layer) for net in (deep, shallow)])
lesson.number(f"straight pieces, {L} layers", pieces, 2 ** L, "2^L")
lesson.number("units of the one hidden layer", shallow[0][1].size, 2 ** L - 1, "needed at least")
lesson.number("parameters: deep, one hidden layer", counts[-1], "exponentially more", "csc321 depth")

# %% [markdown]
# Not every function is like that: the parity of $n$ bits, say, depends on their sum alone, and $n$ units of one hidden
# layer are enough for it.

# %%
fig, (left, right) = plot.subplots(1, 2)
x = np.linspace(0, 1, 257)
plot.curves(left, x, {f"L = {L}": output(deep_tent(L), x[:, None]) for L in (1, 2, 4)}, legend=None, marker="")
left.legend(loc="upper center", ncols=3, fontsize=11)
left.set(xlabel="input x", ylabel="output", ylim=(0, 1.2), yticks=[0, 0.5, 1], title="The tent, L times")
deep, shallow = zip(*counts, strict=True)
plot.curves(right, depths, {"one hidden layer": shallow, "L layers of two units": deep}, legend="upper left")
right.set(xlabel="L, layers of the deep net", ylabel="parameters", yscale="log", title="For the same function")
lesson.save(fig, "csc321_depth_parameters")
lesson.shown(f"one filter serves all places, so {W.size} weights do what {of_units:,} would; a function of {pieces:,} "
             f"straight pieces needs {counts[-1][0]} parameters in {L} layers, and {counts[-1][1]:,} in one")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.images.conv import conv_backward, conv_forward
# from tinynet.blocks.images.pool import max_pool_backward, max_pool_forward
#
# X, W = np.random.default_rng(0).normal(size=(2, 1, 8, 8)), np.ones((1, 1, 3, 3))
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
