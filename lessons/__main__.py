"""Run the lessons: `python -m lessons`, `python -m lessons residual attention --quick`, `python -m lessons shi`."""

import argparse
import sys
import tempfile
from pathlib import Path

from lessons.tools.catalogue import FOLDER, catalogue, choose
from lessons.tools.runner import run_all

FIGURES = FOLDER.parent / "figures"


def parse(argv):
    parser = argparse.ArgumentParser("python -m lessons", description="Run the lessons on embedded data, two side by "
                                     "side; print their numbers beside the slides', write the figures and a table.")
    parser.add_argument("names", nargs="*", help="lessons to run, e.g. residual or shi/10_residual, or a whole deck, "
                                                 "e.g. shi; all without")
    parser.add_argument("--list", action="store_true", help="name the lessons and what they ask, run none")
    parser.add_argument("--slides", action="store_true", help="print the slide index (lessons/README.md)")
    parser.add_argument("--item", metavar="ITEM", help='print all about one slide item, e.g. "shi 1.6"')
    parser.add_argument("--quick", action="store_true", help="the same code on less; the figures go to figures/quick")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (0)")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="where to write (figures, or figures/quick)")
    parser.add_argument("--format", choices=("png", "svg", "pdf"), default="png", help="of the figures (png)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="real datasets, for the lessons that can use them")
    parser.add_argument("--notebooks", type=Path, metavar="DIR", help="write the lessons as notebooks, run none")
    parser.add_argument("--site", type=Path, metavar="DIR", help="run the lessons and write pages to read beside the "
                                                                 "slides, without network; goes on where it was")
    parser.add_argument("--show", action="store_true", help="open the figures in windows, too; one lesson at a time")
    writing = parser.add_argument_group("writing", "python -m lessons language_model --prompt TEXT: the net that the "
                                        "lesson has trained goes on with a text")
    writing.add_argument("--prompt", metavar="TEXT", help="what to go on with")
    writing.add_argument("--temperature", type=float, default=0.7, metavar="X", help="below 1 the likely letters gain, "
                         "above 1 the unlikely ones (0.7)")
    writing.add_argument("--letters", type=int, default=500, metavar="N", help="how many to write (500)")
    asked = parser.parse_args(argv)
    asked.figures = asked.figures or (FIGURES / "quick" if asked.quick else FIGURES)
    return asked


def main(argv=None, folder=FOLDER):
    """Returns the exit code: 0, 1 if a lesson failed, 2 if the command can't be done, 130 after Ctrl-C."""
    asked = parse(argv)
    try:
        if asked.slides or asked.item:
            from lessons.tools.slides import about, index
            print(about(asked.item) if asked.item else index(), end="")
            return 0
        if asked.seed < 0:
            raise ValueError(f"--seed: {asked.seed} is negative; seeds start at 0")
        if asked.prompt is not None:
            return go_on(asked)
        entries = choose(asked.names, catalogue(folder))
        if asked.list:
            for entry in entries:
                print(f"{entry.name:<32} {entry.question}")
            return 0
        if asked.quick and asked.figures.resolve() == FIGURES.resolve():
            raise ValueError("--figures: --quick never writes over the committed figures; choose another folder")
        if asked.data and not asked.data.is_dir():
            raise ValueError(f"--data: there is no folder {asked.data}; leave --data out to use embedded data")
        if asked.notebooks or asked.site:
            return pages(entries, asked, folder)
        make_writable(asked.figures)
    except (KeyError, ValueError) as error:
        print(f"python -m lessons: {error.args[0]}", file=sys.stderr)
        return 2
    if asked.data and not any("lesson.data" in entry.path.read_text(encoding="utf-8") for entry in entries):
        print("--data: none of these lessons uses real data; they run on embedded data")
    return run_all(entries, asked)


def go_on(asked):
    """Let the trained language model write; raises ValueError where another lesson is named."""
    from lessons.tools import writer

    if asked.names != [writer.LESSON]:
        raise ValueError(f"--prompt goes with one lesson alone: python -m lessons {writer.LESSON} --prompt TEXT")
    if asked.letters < 1 or not asked.prompt:
        raise ValueError(f"--prompt {asked.prompt!r}, --letters {asked.letters}: a net must read a letter before it "
                         "can write one; give at least 1 of both")
    return writer.go_on(asked)


def pages(entries, asked, folder):
    """Write notebooks or the site; returns the exit code.  Raises ValueError where a package is missing."""
    try:
        from lessons.site import build, notebooks
    except ImportError as error:
        raise ValueError(f"{error.name} is missing; install what the site needs with  "
                         'pip install -e ".[lessons,site]"') from None
    if asked.notebooks:
        make_writable(asked.notebooks, "--notebooks")
        print(f"notebooks in {asked.notebooks}: {len(notebooks.write_notebooks(entries, asked.notebooks))}")
    if not asked.site:
        return 0
    make_writable(asked.site, "--site")
    return build.build(entries, asked, folder)


def make_writable(folder, option="--figures"):
    """Make the folder; raises ValueError where no file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{option}: no file can be written in {folder} ({error.strerror}); "
                         f"choose another folder with {option} DIR") from None


if __name__ == "__main__":
    sys.exit(main())
