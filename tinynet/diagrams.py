"""The decks' drawings: boxes and arrows, and the nets that are made of them.

    >>> from tinynet import diagrams, plot
    >>> fig, ax = plot.subplots(height=3)
    >>> diagrams.blank(ax, 6, 2)
    >>> a, b = diagrams.box(ax, 1, 1, "$W_1$"), diagrams.box(ax, 4, 1, "$W_2$", fill=diagrams.SHARED)
    >>> diagrams.arrow(ax, a, b, "h")

A place is the centre of a box, in the units of `blank`.  Dark boxes are shared by all tasks, light ones belong
to one task; letters say so, too.
"""

from itertools import pairwise

from tinynet.plot import COLOURS, GREY

PLAIN, SHARED, TASKS = "white", "#c9d3de", ("#f3dfd9", "#d9ece8", "#e8dff0")


# %% The alphabet
def blank(ax, width, height):
    """Make a panel a sheet of paper from (0, 0) to (width, height)."""
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")


def box(ax, x, y, text, width=1.3, height=0.7, fill=PLAIN, rounding=0.1):
    """A box with a text in it, centred on (x, y).  Returns the patch, for arrows."""
    from matplotlib.patches import FancyBboxPatch

    patch = FancyBboxPatch((x - width / 2, y - height / 2), width, height, facecolor=fill, edgecolor="black",
                           boxstyle=f"round,pad=0,rounding_size={rounding}", linewidth=1.2, zorder=2)
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", zorder=3)
    return patch


def sum_node(ax, x, y, text="+"):
    """A small circle where arrows are added up."""
    return box(ax, x, y, text, 0.56, 0.56, rounding=0.28)


def arrow(ax, start, end, text="", bend=0.0, look="-|>", at=0.5, **settings):
    """An arrow between two boxes; its text stands at the middle of the arc, or `at` this part of a straight way."""
    from matplotlib.patches import FancyArrowPatch

    (x0, y0), (x1, y1) = _centre(start), _centre(end)
    settings = dict(color="black", linestyle="-", linewidth=1.5) | settings
    ax.add_patch(FancyArrowPatch((x0, y0), (x1, y1), patchA=start, patchB=end, arrowstyle=look, mutation_scale=14,
                                 connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0, zorder=1, **settings))
    if text:
        place = x0 + at * (x1 - x0) + bend * (y1 - y0) / 2, y0 + at * (y1 - y0) - bend * (x1 - x0) / 2
        ax.text(*place, text, ha="center", va="center", zorder=3,
                bbox=dict(boxstyle="round,pad=0.12", facecolor="white", edgecolor="none"))


def _centre(patch):
    return patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2


def _chain(ax, boxes):
    for start, end in pairwise(boxes):
        arrow(ax, start, end)


# %% The drawings
def residual_block(ax):
    """shi fig3, csc321 block: what came in is added to what two layers make of it."""
    blank(ax, 11, 3.1)
    names = ["$x_l$", "$W_1 x + b_1$", r"$\sigma$", "$W_2 h$"]
    places, widths = (0.6, 2.9, 5.0, 6.9), (0.8, 2.0, 0.9, 1.3)
    boxes = [box(ax, x, 1, name, width, fill=SHARED if "W" in name else PLAIN)
             for x, name, width in zip(places, names, widths, strict=True)]
    boxes += [sum_node(ax, 8.6, 1), box(ax, 10.3, 1, "$x_{l+1}$", 1.1)]
    _chain(ax, boxes)
    arrow(ax, boxes[0], boxes[4], "identity: $x_l$ as it is", bend=-0.42, color=COLOURS[1], linewidth=2.2)
    ax.annotate("$F(x_l, W_l)$", (4.75, 0.52), (4.75, 0.1), ha="center", va="center",
                arrowprops=dict(arrowstyle="-[, widthB=7.6, lengthB=0.4", linewidth=1.2))


def cross_stitch_unit(ax):
    """tomaszewska fig6: each task takes a mixture of both tasks' features."""
    blank(ax, 6.4, 4)
    x = [box(ax, 0.8, y, f"$x_{t}$", 0.9, fill=TASKS[i]) for i, (t, y) in enumerate((("A", 3.2), ("B", 0.8)))]
    plus = [sum_node(ax, 4.0, y) for y in (3.2, 0.8)]
    out = [box(ax, 5.7, y, rf"$\tilde{{x}}_{t}$", 0.9, fill=TASKS[i])
           for i, (t, y) in enumerate((("A", 3.2), ("B", 0.8)))]
    for i, task in enumerate("AB"):
        for j, other in enumerate("AB"):
            arrow(ax, x[j], plus[i], rf"$\alpha_{{{task}{other}}}$", at=0.5 if i == j else 0.68,
                  linestyle="-" if i == j else "--")
        arrow(ax, plus[i], out[i])


def _columns(ax, tasks, layers, shared=False):
    """Columns of layers from below to above, one a task, or one for all; heads on top.  Returns layers and heads."""
    blank(ax, 2.0 * len(tasks), 2.1 + 1.15 * layers)
    places, middle = [1.0 + 2.0 * t for t in range(len(tasks))], len(tasks)
    heights = [1.5 + 1.15 * l for l in range(layers + 1)]
    feed = box(ax, middle, 0.4, "input x", 1.5)
    if shared:
        width = places[-1] - places[0] + 1.4
        rows = [[box(ax, middle, y, f"layer {l + 1}, shared", width, fill=SHARED)] for l, y in enumerate(heights[:-1])]
    else:
        rows = [[box(ax, x, y, f"layer {l + 1}", 1.4, fill=TASKS[t % 3]) for t, x in enumerate(places)]
                for l, y in enumerate(heights[:-1])]
    heads = [box(ax, x, heights[-1], f"task {task}", 1.4, fill=TASKS[t % 3])
             for t, (x, task) in enumerate(zip(places, tasks, strict=True))]
    for row in rows[:1]:
        for first in row:
            arrow(ax, feed, first)
    for below, above in pairwise([*rows, heads]):
        for k, end in enumerate(above):
            _up(ax, below[min(k, len(below) - 1)], end)
    return rows, heads


def _up(ax, start, end):
    """An arrow straight up to a box from the box below it, however wide that is."""
    x, y = _centre(end)
    ends = (x, start.get_y() + start.get_height()), (x, y - end.get_height() / 2)
    ax.annotate("", ends[1], ends[0], arrowprops=dict(arrowstyle="-|>", mutation_scale=14, color="black", linewidth=1.5,
                                                      shrinkA=0, shrinkB=0))


def hard_sharing(ax, tasks="ABC", layers=2):
    """shi fig11: the tasks share their first layers; each has a head of its own."""
    _columns(ax, tasks, layers, shared=True)


def soft_sharing(ax, tasks="ABC", layers=2):
    """shi fig12: each task has a net of its own; a penalty keeps the layers' parameters near one another."""
    rows, _ = _columns(ax, tasks, layers)
    for row in rows:
        for left, right in pairwise(row):
            arrow(ax, left, right, look="<|-|>", linestyle=":", color=COLOURS[1], linewidth=2)


def cross_stitch_net(ax, tasks="AB", layers=2):
    """tomaszewska fig9: separate nets with a cross-stitch unit behind every layer."""
    rows, heads = _columns(ax, tasks, layers)
    for below, above in pairwise([*rows, heads]):
        for i, start in enumerate(below):
            for j, end in enumerate(above):
                if i != j:
                    arrow(ax, start, end, color=GREY, linestyle="--")
