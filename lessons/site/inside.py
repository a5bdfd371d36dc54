"""What runs inside a lesson's own process while the site is built: settings, and figures that come with their words."""

import base64
import io
import random
import sys
from pathlib import Path

import numpy as np

from tinynet.lesson import lesson


def begin(quick, seed, data):
    """Set the lesson up as `python -m lessons` does; saved figures go into the notebook with their words, and numbers
    with their parts.
    """
    import matplotlib
    from IPython.display import display

    matplotlib.use("Agg")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    lesson.quick, lesson.seed, lesson.data = quick, seed, data
    lesson.begin()

    def save(fig, name):
        name, picture = f"{name.removesuffix('.png')}.png", io.BytesIO()
        fig.savefig(picture, format="png")
        lesson.saved.append(name)
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": name}
        display(data, metadata={"image/png": dict(name=name, alt=words(fig))}, raw=True)

    def tell(*parts):
        display({"text/plain": "   ".join(parts).rstrip()}, metadata={"text/plain": dict(number=parts)}, raw=True)
    lesson.save, lesson.tell = save, tell


def loaded():
    """The files of tinynet and of the lessons that this process has loaded."""
    files = [Path(module.__file__) for name, module in list(sys.modules.items())
             if name.partition(".")[0] in ("tinynet", "lessons") and getattr(module, "__file__", None)]
    names = [(file, file.parts[::-1].index(name)) for file in files for name in ("tinynet", "lessons")
             if name in file.parts[:-1]]
    return sorted({"/".join(file.parts[-1 - steps:]) for file, steps in names})


def words(fig):
    """A figure in words: its title, and of each panel the title, what is drawn over what, and the lines' names."""
    title = fig.get_suptitle()
    panels = [p for p in (_panel(ax) for ax in fig.axes) if p]
    return ". ".join(_plain(part) for part in [title, *panels] if part) or "A drawing"


def _panel(ax):
    title, x, y = ax.get_title(), ax.get_xlabel(), ax.get_ylabel()
    axes = f"{y} over {x}" if x and y else x or y
    names = [label for label in ax.get_legend_handles_labels()[1] if label and not label.startswith("_")]
    lines = f"lines: {', '.join(names)}" if names else ""
    return "; ".join(part for part in (title, axes, lines) if part)


def _plain(text):
    """Without the marks of mathematics, on one line."""
    for mark in ("$", "\\mathrm", "\\", "{", "}"):
        text = text.replace(mark, "")
    return " ".join(text.split())
