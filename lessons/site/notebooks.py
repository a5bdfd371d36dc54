"""Lessons as notebooks: written by jupytext, executed by nbclient, kept so that an unchanged one isn't executed again.

An executed lesson is one file, which is there whole or not at all. It carries a key: the lesson's text, tinynet's and
the tables' sources, and the settings. Where the key is the same nothing is executed.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from lessons.tools.slides import ROOT, package

SETTINGS = ("quick", "seed", "data")


class LessonFailed(RuntimeError):
    """A lesson that stopped with an error; the message says in which cell and why."""


def notebook(entry):
    """The lesson as a notebook, not executed."""
    made = jupytext.read(entry.path, fmt="py:percent")
    made.metadata["kernelspec"] = dict(name="python3", display_name="Python 3", language="python")
    for n, cell in enumerate(made.cells):
        cell["id"] = f"cell-{n}"                # else drawn at random
    return made


def write_notebooks(entries, folder):
    """Write DIR/DECK/NN_topic.ipynb of every lesson; returns the paths."""
    paths = []
    for entry in entries:
        path = Path(folder, f"{entry.name}.ipynb")
        write_whole(path, nbformat.writes(notebook(entry)))
        paths.append(path)
    return paths


def write_whole(path, text):
    """Write a file that is there whole or not at all, whenever the process is stopped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


# %% Executed once
def sources(root=ROOT):
    """One hash of all that a lesson can import from the tree."""
    digest = hashlib.sha256()
    folders = package(root), root / "lessons" / "tables"
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in [*files, Path(__file__).with_name("inside.py")]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def key_of(entry, asked, hashed):
    """What an executed lesson depends on, as one hash."""
    settings = [str(getattr(asked, name)) for name in SETTINGS]
    text = json.dumps([hashed, entry.path.read_text(encoding="utf-8"), settings])
    return hashlib.sha256(text.encode()).hexdigest()


def executed(entry, asked, folder, hashed, out=print):
    """The executed notebook of a lesson: from `folder`, or executed now and put there.  Raises LessonFailed."""
    path, key = Path(folder, f"{entry.name}.ipynb"), key_of(entry, asked, hashed)
    if path.exists():
        kept = nbformat.read(path, as_version=4)
        if kept.metadata.get("key") == key:
            out(f"{entry.name}: unchanged")
            return kept
    start = time.perf_counter()
    made = execute(notebook(entry), asked, entry.name)
    made.metadata["key"] = key
    write_whole(path, nbformat.writes(made))
    out(f"{entry.name}: executed in {time.perf_counter() - start:.0f} s")
    return made


def execute(made, asked, name, root=ROOT):
    """Run the notebook's cells in a process of its own, in the tree's folder.  Raises LessonFailed."""
    settings = {name: getattr(asked, name) for name in SETTINGS}
    settings["data"] = settings["data"] and str(Path(settings["data"]).resolve())
    begin = nbformat.v4.new_code_cell(f"from lessons.site import inside; inside.begin(**{settings})", id="begin")
    whole = nbformat.from_dict(made | dict(cells=[begin, *made.cells]))
    try:
        NotebookClient(whole, kernel_manager_class=Here, timeout=None,
                       resources=dict(metadata=dict(path=str(root)))).execute()
    except CellExecutionError as error:
        raise LessonFailed(f"{name} FAILED: {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise LessonFailed(f"{name} FAILED: its process ended suddenly (was there enough memory?)") from None
    del whole.cells[0]
    for cell in whole.cells:
        cell.metadata.pop("execution", None)    # when it ran: the same lesson would give another file each time
    return whole


class ThisPython(KernelSpecManager):
    """One kernel: the Python that runs the build, whatever kernels are installed elsewhere."""

    def get_kernel_spec(self, name):
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                          display_name="Python 3", language="python")


class Here(AsyncKernelManager):
    """Starts that kernel; it is spoken to through files where the system has such sockets, not over the network."""

    def __init__(self, **settings):
        way = "tcp" if sys.platform == "win32" else "ipc"
        super().__init__(**settings | dict(kernel_spec_manager=ThisPython(), transport=way))
