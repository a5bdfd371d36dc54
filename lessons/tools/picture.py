"""The README's picture: one slide item, its equation, the lines of code that compute it, their check and the figure.

    python -m lessons.tools.picture         writes figures/readme.png

Equation and lines are read from the block's source, the figure from figures/, and the gradient check is run.
"""

import inspect
import re
import textwrap
from pathlib import Path

import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.units import residual as block

ROOT = Path(__file__).resolve().parents[2]
ITEM, TAG, FIGURE = "shi 1.6", "(6)", "shi_1.6_two-terms.png"
SLIDE = r"$\dfrac{dE}{dx_l} = \dfrac{dE}{dx_L}\,\left(1 + \dfrac{d}{dx_l}\sum_{i=l}^{L-1} F(x_i, W_i)\right)$"
LEFT_PANEL = slice(34, None), slice(0, 563)         # pixels of the figure, without its title


def picture():
    plot.style()
    import matplotlib.pyplot as plt

    fig = plt.figure(figsize=(plot.WIDTH, 6.4), layout="none")
    slide = card(fig, (0.01, 0.74, 0.53, 0.25), f"The slide: {ITEM}")
    slide.text(0.5, 0.4, SLIDE, ha="center", va="center", fontsize=17)
    drawn = card(fig, (0.55, 0.35, 0.44, 0.64), "The figure")
    drawn.inset_axes((0.03, 0.01, 0.95, 0.89)).imshow(plt.imread(ROOT / "figures" / FIGURE)[LEFT_PANEL])
    drawn.child_axes[0].axis("off")
    code = card(fig, (0.01, 0.01, 0.98, 0.33), f"The code: {Path(block.__file__).relative_to(ROOT)}")
    code.text(0.02, 0.8, "\n".join(source()), va="top", family="monospace", fontsize=11, linespacing=1.3)
    test = card(fig, (0.01, 0.35, 0.53, 0.38), "The check")
    test.text(0.03, 0.8, "\n".join(checked()), va="top", family="monospace", fontsize=10, linespacing=1.3)
    return fig


def card(fig, place, title):
    """A framed field with a title; its texts stand at places from 0 to 1."""
    ax = fig.add_axes(place, xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    ax.grid(False)
    ax.spines[:].set(visible=True, color=plot.GREY)
    ax.annotate(title, (0, 1), (8, -6), textcoords="offset points", va="top", color=plot.COLOURS[0], weight="bold")
    return ax


def source():
    """The docstring's line of the equation, and the code lines that carry its tag."""
    stated = next(line.strip() for line in block.__doc__.splitlines() if line.strip().startswith(TAG))
    lines = [re.sub(" {4,}", "        ", stated), ""]
    for function in (block.residual_terms, block.residual_backward):
        text = inspect.getsource(function).splitlines()
        lines += [text[0], *(line for line in text if line.endswith(f"# {TAG}"))]
    return lines


def checked():
    """What the gradient check says of the block, and of its backward without the identity term."""
    def without_identity(dy, cache):
        dx, *others = block.residual_backward(dy, cache)
        return dx - dy, *others

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in ((4, 3), (5, 3), (3, 5), (5,))]
    for title, backward in (("as it stands", block.residual_backward), ("without the identity term", without_identity)):
        yield f"# {title}"
        for line in str(tn.gradcheck(block.residual_forward, backward, *arrays)).splitlines():
            yield from textwrap.wrap(line, 52, subsequent_indent="  ")


if __name__ == "__main__":
    picture().savefig(ROOT / "figures" / "readme.png")
