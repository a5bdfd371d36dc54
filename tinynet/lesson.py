"""What a lesson and its reader share: `from tinynet.lesson import lesson`.

    lesson.quick, lesson.seed, lesson.data      how to run: on less?  which seed?  real data in which folder?
    lesson.number("largest sigmoid'", ours, slide=0.25, source="saha")
    lesson.save(fig, "saha_fig2_dead-neurons")
    lesson.shown("sigmoid' never exceeds 1/4, so five layers lose a factor of a thousand")

`python -m lessons` sets these and collects the answers.  A lesson that is run alone, as a script or
as a notebook, finds the defaults below.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinynet import memory, threads
from tinynet.whole_file import whole_file

# A lesson's arrays are small: a second thread, of BLAS or of a kernel, would only wait and take a core.
threads.use_one()
memory.keep()               # a net of many layers asks for the same memory again in every step
if "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

TOO_LITTLE = "too little training to conclude (--quick)"


def _figures():
    """figures/ of the tree that holds the lessons, else of the current folder."""
    here = Path.cwd()
    tree = next((folder for folder in (here, *here.parents) if (folder / "lessons" / "tools").is_dir()), here)
    return tree / "figures"


@dataclass
class Lesson:
    """How the running lesson is to run, and what it has told so far."""

    quick: bool = False
    seed: int = 0
    data: Path | None = None
    figures: Path = field(default_factory=_figures)
    format: str = "png"
    numbers: list = field(default_factory=list)     # (label, ours, slide, source)
    saved: list = field(default_factory=list)       # names of the figures' files
    sentence: str = ""

    def begin(self):
        """Forget what the lesson before has told."""
        self.numbers, self.saved, self.sentence = [], [], ""

    def number(self, label, ours, slide=None, source=""):
        """Print and keep one of the lesson's numbers, beside the slide's or the paper's where it has one."""
        self.numbers.append((label, ours, slide, source))
        self.tell(label, _short(ours), "" if slide is None else f"{source or 'slide'}: {_short(slide)}")

    def tell(self, label, ours, beside):
        """Print a number's line; the site has tables in its place."""
        print(f"  {label:<54} {ours:>12}   {beside}".rstrip())

    def save(self, fig, name):
        """Write `fig` to figures/NAME.png, or in the format asked for: the whole file or none."""
        path = self.figures / f"{name.removesuffix('.png')}.{self.format}"
        with whole_file(path) as file:
            fig.savefig(file, format=self.format)
        self.saved.append(path.name)

    def shown(self, sentence):
        """What this lesson has shown, in one sentence for the table at the end.

        With --quick there was too little training to conclude anything, and the lesson says that instead.
        """
        self.sentence = TOO_LITTLE if self.quick else sentence
        print(f"  shown: {self.sentence}")


def _short(value):
    """A number as a slide would print it: four digits, or the text as it is."""
    if isinstance(value, str):
        return value
    if np.ndim(value):
        return " ".join(_short(v) for v in np.asarray(value).tolist())
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{float(value):.4g}"


lesson = Lesson()
