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

COLOURS = ("#12355b", "#c8452f", "#2e8b7d", "#8a5aa8", "#e0951f", "#6d6d6d")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))
MARKERS = "osD^vP"
GREY = "#9a9a9a"                # for limits and other lines to compare with
MAP = "cividis"                 # grows in brightness from end to end, so it prints in grey
SIGNED = "RdBu_r"               # for entries of both signs, with vmin=-m, vmax=m


def style():
    """Put the house style in force for all figures made from now on."""
    plt = _pyplot()
    plt.rcParams.update({
        "figure.figsize": (7.2, 4.2), "figure.dpi": 100, "savefig.dpi": 130, "figure.autolayout": True,
        "font.size": 12, "axes.titlesize": 12, "axes.labelsize": 12, "legend.fontsize": 11,
        "xtick.labelsize": 11, "ytick.labelsize": 11, "lines.linewidth": 2.2, "lines.markersize": 6,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "axes.grid": True, "grid.color": "#dddddd", "grid.linewidth": 0.8, "image.cmap": MAP,
        "legend.loc": "upper right", "legend.framealpha": 0.85, "legend.edgecolor": "none",
        "axes.prop_cycle": plt.cycler(color=COLOURS, linestyle=DASHES),
    })


def subplots(rows=1, columns=1, **settings):
    """plt.subplots in the house style -> (fig, axes); each panel gets room as their number grows."""
    style()
    settings.setdefault("figsize", (max(7.2, 4.4 * columns), max(4.2, 3.2 * rows)))
    fig, axes = _pyplot().subplots(rows, columns, **settings)
    fig.set_layout_engine("tight", rect=None)       # one pass; a rectangle, even the whole figure, costs a second
    return fig, axes


def curves(ax, x, named, legend="upper right", **settings):
    """One line for each name: values in `named`, over the shared x, with about eight markers on each.

    The legend, when there is more than one line, stands where `legend` says ("best" is slow to
    find; None leaves it out).  Returns the lines.
    """
    x, lines = list(x), []
    for i, (name, y) in enumerate(named.items()):
        every = max(1, len(x) // 8)
        look = dict(color=COLOURS[i % 6], linestyle=DASHES[i % 6], marker=MARKERS[i % 6],
                    markevery=(i * every // max(len(named), 1), every), label=name)
        lines += ax.plot(x, y, **(look | settings))
    if legend and len(lines) > 1:
        ax.legend(loc=legend)
    return lines


def image(ax, values, label, signed=False, **settings):
    """A matrix as a picture with a bar that says what its brightness means; signed centres it on 0."""
    if signed:
        limit = max(abs(float(values.min())), abs(float(values.max())), 1e-12)
        settings = dict(cmap=SIGNED, vmin=-limit, vmax=limit) | settings
    picture = ax.imshow(values, aspect=settings.pop("aspect", "equal"), **settings)
    ax.grid(False)
    ax.figure.colorbar(picture, ax=ax, label=label)
    return picture


def _pyplot():
    # without a home directory matplotlib says at length that it keeps its cache elsewhere
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.pyplot as plt

    return plt
