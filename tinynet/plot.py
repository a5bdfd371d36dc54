"""The house style of the figures: readable on a projector and in grey.

    >>> from tinynet import plot
    >>> fig, ax = plot.subplots()
    >>> _ = plot.curves(ax, [0, 1, 2], {"plain": [3, 2, 1], "residual": [2, 1, 0]})
    >>> _ = ax.set(xlabel="step t", ylabel="loss L (nats)")
    >>> ax.get_legend_handles_labels()[1]
    ['plain', 'residual']

Every line has its own colour, brightness, dash and marker, so that one of them is enough to tell it
apart.  matplotlib is imported at the first figure; it needs neither a display nor a home directory.
"""

import logging

import numpy as np

COLOURS = ("#12355b", "#c8452f", "#2e8b7d", "#8a5aa8", "#e0951f", "#6d6d6d")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))
MARKERS = "osD^vP"
GREY = "#9a9a9a"                # for limits and other lines to compare with
MAP = "cividis"                 # grows in brightness from end to end, so it prints in grey
SIGNED = "RdBu_r"               # for entries of both signs; grey loses the sign, so `image` writes it into the cells
WIDTH = 8.8                     # inches, of every figure: across a slide of 13.3 inches 12 points become 18


def style():
    """Put the house style in force for all figures made from now on."""
    plt = _pyplot()
    plt.rcParams.update({
        "figure.figsize": (WIDTH, 4.4), "figure.dpi": 100, "savefig.dpi": 130, "figure.constrained_layout.use": True,
        "font.size": 13, "axes.titlesize": 13, "axes.labelsize": 13, "legend.fontsize": 12,
        "figure.titlesize": 14,
        "xtick.labelsize": 12, "ytick.labelsize": 12, "lines.linewidth": 2.2, "lines.markersize": 6,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "axes.grid": True, "grid.color": "#dddddd", "grid.linewidth": 0.8, "image.cmap": MAP,
        "legend.loc": "upper right", "legend.framealpha": 0.85, "legend.edgecolor": "none",
        "axes.prop_cycle": plt.cycler(color=COLOURS, linestyle=DASHES), "svg.hashsalt": "tinynet",
    })


def subplots(rows=1, columns=1, height=None, **settings):
    """plt.subplots in the house style -> (fig, axes), WIDTH wide; height in inches, by default enough for the rows."""
    style()
    return _pyplot().subplots(rows, columns, figsize=(WIDTH, height or max(4.4, 3.2 * rows)), **settings)


def look(i):
    """Colour, dashes and marker of line i; from the seventh on the colours return, with other dashes and markers."""
    other = (i + i // 6) % 6
    return dict(color=COLOURS[i % 6], linestyle=DASHES[other], marker=MARKERS[other])


def curves(ax, x, named, legend="upper right", **settings):
    """One line for each name: values in `named`, over the shared x, with about eight markers on each.

    The legend, when there is more than one line, stands where `legend` says ("best" is slow to
    find; None leaves it out).  Returns the lines.
    """
    x, lines = list(x), []
    for i, (name, y) in enumerate(named.items()):
        every = max(1, len(x) // 8)
        own = look(i) | dict(markevery=(i * every // max(len(named), 1), every), label=name)
        lines += ax.plot(x, y, **(own | settings))
    if legend and len(lines) > 1:
        ax.legend(loc=legend)
    return lines


def legend_below(fig, ax, columns=None):
    """One legend for all panels, under them, from the lines of one panel."""
    handles, labels = ax.get_legend_handles_labels()
    return fig.legend(handles, labels, loc="outside lower center", ncols=columns or len(labels), frameon=False)


def image(ax, values, label=None, signed=False, numbers=None, **settings):
    """A matrix as a picture.  Returns what `fig.colorbar` takes, for a bar that several panels share.

    label     what the brightness means, on a bar of this panel's own
    signed    centres the colours on 0 and marks the cells + and -, because grey can't tell them apart
    numbers   a format such as ".2f": every cell's value is written into it
    """
    if signed:
        limit = max(abs(float(values.min())), abs(float(values.max())), 1e-12)
        settings = dict(cmap=SIGNED, vmin=-limit, vmax=limit) | settings
    picture = ax.imshow(values, aspect=settings.pop("aspect", "equal"), **settings)
    ax.grid(False)
    ink = np.where(picture.to_rgba(values)[..., :3] @ (0.3, 0.59, 0.11) < 0.5, "white", "black")
    if numbers is not None:
        for (i, j), value in np.ndenumerate(values):
            text = format(value, numbers)
            text = text.replace("-", "\N{MINUS SIGN}") if float(text) else format(0.0, numbers)     # not "-0"
            ax.text(j, i, text, ha="center", va="center", fontsize=11, color=ink[i, j])
    elif signed:
        for sign, marker in ((1, "+"), (-1, "_")):
            i, j = (sign * values > 0.15 * picture.norm.vmax).nonzero()
            ax.scatter(j, i, marker=marker, s=(60 / max(values.shape)) ** 2, c=ink[i, j], linewidths=1)
    if label:
        ax.figure.colorbar(picture, ax=ax, label=label)
    return picture


def _pyplot():
    # without a home directory matplotlib says at length that it keeps its cache elsewhere
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.pyplot as plt

    return plt
