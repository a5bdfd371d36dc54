"""Lessons as notebooks: written by jupytext, executed by nbclient, kept so that an unchanged one isn't executed again.

An executed lesson is one file, which is there whole or not at all. It says which files of ours its process had loaded,
and carries a key: a hash of their contents, of the lesson's text and of the settings. Where the key is still the same
nothing is executed.
"""

import asyncio
import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets.config import Config

from lessons.tools.slides import ROOT, package
from tinynet.whole_file import whole_file

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
    """Write a file of text or bytes that is there whole or not at all, whenever the process is stopped."""
    with whole_file(path) as file:
        file.write(text if isinstance(text, bytes) else text.encode())


# %% Executed once
@cache
def _contents(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "gone"


def key_of(entry, asked, loaded, root=ROOT):
    """What an executed lesson depends on, as one hash; `loaded` are files in tinynet/ and lessons/."""
    homes = dict(tinynet=package(root).parent, lessons=root)
    files = [(name, _contents(homes[name.partition("/")[0]] / name)) for name in sorted(loaded)]
    settings = [str(getattr(asked, name)) for name in SETTINGS]
    text = json.dumps([files, entry.path.read_text(encoding="utf-8"), settings])
    return hashlib.sha256(text.encode()).hexdigest()


def executed(entry, asked, folder, out=print):
    """The executed notebook of a lesson: from `folder`, or executed now and put there.  Raises LessonFailed."""
    path = Path(folder, f"{entry.name}.ipynb")
    if path.exists():
        kept = nbformat.read(path, as_version=4).metadata
        if kept.get("key") == key_of(entry, asked, kept.get("loaded", ())):
            out(f"{entry.name}: unchanged")
            return nbformat.read(path, as_version=4)
    start = time.perf_counter()
    made = execute(notebook(entry), asked, entry.name)
    made.metadata["key"] = key_of(entry, asked, made.metadata.setdefault("loaded", []))
    write_whole(path, nbformat.writes(made))
    out(f"{entry.name}: executed in {time.perf_counter() - start:.0f} s")
    return made


def execute(made, asked, name, root=ROOT):
    """Run the notebook's cells in a process of its own, in the tree's folder.  Raises LessonFailed."""
    settings = {name: getattr(asked, name) for name in SETTINGS}
    settings["data"] = settings["data"] and str(Path(settings["data"]).resolve())
    begin = nbformat.v4.new_code_cell(f"from lessons.site import inside; inside.begin(**{settings})", id="begin")
    # imported anew, because a lesson may use the name
    listing = "from lessons.site import inside; print('\\n'.join(inside.loaded()))"
    end = nbformat.v4.new_code_cell(listing, id="end")
    whole = nbformat.from_dict(made | dict(cells=[begin, *made.cells, end]))
    try:
        with TemporaryDirectory(prefix="lesson-") as sockets:
            own = Config(Here=dict(connection_file=str(Path(sockets, "kernel.json"))))
            _run(NotebookClient(whole, kernel_manager_class=Here, config=own, timeout=None,
                                resources=dict(metadata=dict(path=str(root)))))
    except CellExecutionError as error:
        raise LessonFailed(f"{name} FAILED: {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise LessonFailed(f"{name} FAILED: its process ended suddenly (was there enough memory?)") from None
    whole.metadata["loaded"] = whole.cells[-1].outputs[0].text.split()
    whole.cells = whole.cells[1:-1]
    for cell in whole.cells:
        cell.metadata.pop("execution", None)    # when it ran: the same lesson would give another file each time
    return whole


def _run(client):
    """Execute in a thread, because in the main one nbclient would take Ctrl-C for itself; here it ends the lesson."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: asyncio.run(client.async_execute()))
        try:
            done.result()
        except KeyboardInterrupt:
            if client.km is not None and client.km.provisioner is not None:
                client.km.provisioner.process.kill()
            raise


class ThisPython(KernelSpecManager):
    """One kernel: the Python that runs the build, whatever kernels are installed elsewhere."""

    def get_kernel_spec(self, name):
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                          display_name="Python 3", language="python")


class Here(AsyncKernelManager):
    """Starts that kernel; it is spoken to through files beside its connection file, where the system has such sockets,
    not over the network.
    """

    def __init__(self, **settings):
        way = "tcp" if sys.platform == "win32" else "ipc"
        super().__init__(**settings | dict(kernel_spec_manager=ThisPython(), transport=way))
