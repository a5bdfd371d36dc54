"""The student's process: it locks itself in, runs the student's file and answers questions about it.

`sandbox.py` starts this file as a script of its own: `python -I -S -B -u child.py PACKAGES FOLDER CPU MEMORY`.
It gets inputs and upstream gradients over a pipe and sends back what the student's functions return.
It never sees a right answer, a seed or an expectation, so there is nothing here to steal.
Only NumPy, the standard library and three modules of tinynet without gradients (frames.LENT) can be imported.
"""

import collections
import contextlib
import ctypes
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import struct
import sys
import traceback
import types

KEPT = 32                   # arrays that are watched for changes: those of the last few calls
LARGE = 10_000              # entries of an input from which on calls are not counted
QUIET = ("matplotlib", "pylab", "seaborn", "plotly", "IPython", "ipywidgets")       # calls to these do nothing


# %% What can be imported
class Quiet:
    """Stands for everything of a plotting library: it can be called, and nothing happens."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_, **__):
        return self

    def __iter__(self):
        return iter((self, self))           # fig, ax = plt.subplots()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __getitem__(self, _):
        return self


class Absent:
    """Stands for something of a package that isn't here: importing it is fine, using it is not."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __call__(self, *_, **__):
        if self._name.startswith("tinynet."):
            raise ImportError(f"{self._name} is tinynet's own code, which can't be used here: write it yourself")
        raise ImportError(f"{self._name} can't be used here: use NumPy and the standard library alone")

    def __mro_entries__(self, _):
        return ()


class StandIns:
    """Finds what nobody else has found: a module whose names are all Quiet or Absent."""

    def find_spec(self, name, *_):
        if name.partition(".")[0] in sys.stdlib_module_names | {"numpy"}:
            return None                     # a real error: numpy.nothing
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        quiet = spec.name.partition(".")[0] in QUIET
        module.__getattr__ = lambda name: _stand_in(spec.name, name, quiet)
        return module

    def exec_module(self, module):
        pass


def _stand_in(module, name, quiet):
    if name.startswith("__"):
        raise AttributeError(name)
    return Quiet() if quiet else Absent(f"{module}.{name}")


def _module(name, path):
    """The module in this file, imported without its package."""
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_all(packages):
    """NumPy from the folder `packages`, frames.py beside this file, and what tinynet lends; returns (numpy, frames)."""
    sys.path.insert(0, packages)
    import numpy as np
    for late in ("fft", "linalg", "random", "polynomial"):      # what NumPy loads late, while its files can be read
        importlib.import_module(f"numpy.{late}")
    sys.path.remove(packages)
    here = os.path.dirname(os.path.abspath(__file__))
    frames = _module("frames", f"{here}/frames.py")
    finder = StandIns()
    sys.modules["tinynet"] = finder.create_module(importlib.machinery.ModuleSpec("tinynet", finder))
    sys.modules["tinynet"].__path__ = []
    for name in frames.LENT:
        if os.path.exists(path := f"{os.path.dirname(here)}/{name}.py"):
            setattr(sys.modules["tinynet"], name, _module(f"tinynet.{name}", path))
    sys.meta_path.append(finder)
    return np, frames


# %% Locking in
def lock_in(folder, cpu, memory, np):
    """Give up all that can be given up, before any of the student's code runs.

    Returns what could not be locked, for the report.  The order matters: what needs rights comes first.
    """
    readable = _readable(folder, np)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    rules = _landlock_rules(libc, readable) if libc else None
    lost = _become_nobody(libc, np)
    importlib.machinery.PathFinder.find_spec("nothing")         # Python lists its folders now: later it may not
    if libc:
        new_namespaces = 0x10000000 | 0x40000000 | 0x08000000           # user, network, interprocess communication
        lost += ["the network"] * (libc.unshare(new_namespaces) != 0)
        no_capabilities = struct.pack("II", 0x20080522, 0), struct.pack("6I", *[0] * 6)
        libc.capset(*no_capabilities)
        libc.prctl(4, 1, 0, 0, 0)               # PR_SET_DUMPABLE: else /proc/self/fd would still belong to root
        libc.prctl(1, 9, 0, 0, 0)               # PR_SET_PDEATHSIG: die with the grader
        libc.prctl(38, 1, 0, 0, 0)              # PR_SET_NO_NEW_PRIVS, which Landlock asks for
        lost += ["files and signals"] * (rules is None or libc.syscall(446, rules, 0) != 0)
    else:
        lost += ["the network", "files and signals"]
    return lost + _limits(cpu, memory)


def _readable(folder, np):
    """The standard library without its site-packages, NumPy, and the folder with the student's files."""
    library, numpy = os.path.dirname(os.__file__), np.__path__[0]
    parts = [f"{library}/{name}" for name in os.listdir(library) if name not in ("site-packages", "dist-packages")]
    return [*parts, numpy, *filter(os.path.exists, [f"{numpy}.libs"]), folder]


def _landlock_rules(libc, readable):
    """A Landlock ruleset, None where there is no Landlock.

    Reading these paths is allowed and nothing else; no TCP, and no signals to other processes.
    """
    abi = libc.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return None
    files = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    handled = struct.pack("QQQ", files, 3 * (abi >= 4), 3 * (abi >= 6))
    rules = libc.syscall(444, handled, ctypes.c_size_t(8 if abi < 4 else 16 if abi < 6 else 24), 0)
    for path in readable:
        fd = os.open(path, os.O_PATH)
        read_files, read_folders = 4, 8 * os.path.isdir(path)
        libc.syscall(445, rules, 1, struct.pack("=Qi", read_files | read_folders, fd), 0)
        os.close(fd)
    return rules


def _become_nobody(libc, np):
    """Root ignores limits, so become the user nobody.

    Python may be installed where nobody can't go (in root's home), so its folders are opened first.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return []
    try:
        if libc:
            library = os.path.dirname(os.__file__)
            opened = [f"/proc/self/fd/{os.open(path, os.O_PATH)}" for path in (library, np.__path__[0])]
            sys.path[:], np.__path__[:] = [opened[0], f"{opened[0]}/lib-dynload"], opened[1:]
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    except OSError:
        return ["the rights of root"]
    return []


def _limits(cpu, memory):
    try:
        import resource
    except ImportError:                         # Windows
        return ["memory", "processes", "the size of files"]
    lost = []
    for name, most, what in (("CPU", cpu, "processor time"), ("AS", memory << 20, "memory"),
                             ("FSIZE", 0, "the size of files"), ("NPROC", 0, "processes"), ("NOFILE", 32, "open files"),
                             ("CORE", 0, "core dumps")):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
        except (AttributeError, ValueError, OSError):
            lost.append(what)
    return lost + ["memory"] * (sys.platform == "darwin")       # macOS takes the limit and doesn't keep it


# %% Answering
class Form(Exception):
    """The student's function returned something of another form than agreed."""


class Answers:
    """Runs the student's files and functions; caches stay here, and what is returned is watched for changes."""

    def __init__(self, np, not_locked):
        self.np, self.not_locked = np, not_locked
        self.names, self.caches, self.watched, self.number = {}, {}, {}, 0

    def lost(self):
        return self.not_locked

    def load(self, chunks, given, keep_going):
        """Run the chunks of a file (its cells), and our forwards that belong to the exercise as `given`.

        Returns the parameters of every function found, and the errors of the cells that failed.
        """
        failed = []
        for label, source in chunks:
            try:
                self.run(label, source, self.names)
            except BaseException as error:
                if not keep_going:
                    raise
                failed.append(describe(error))
        for name, source in given.items():
            if name not in self.names:
                space = {}
                self.run("given.py", source, space)
                self.names.setdefault(f"given {name}", space[name])
        return dict(functions=dict(self.functions()), failed=failed)

    def run(self, label, source, names):
        names.setdefault("__name__", "student")
        names["__file__"] = label
        exec(compile(bytes(source), label, "exec"), names)

    def functions(self):
        for name, thing in self.names.items():
            if name.endswith(("_forward", "_backward")) and callable(thing) and not name.startswith(("_", "given ")):
                yield name, [[p.name, int(p.kind), p.default is not p.empty] for p in parameters(thing)]

    def forward(self, name, arrays, settings, ids, token):
        function = self.names.get(name) or self.names[f"given {name}"]
        self.watch(ids, arrays)
        with self.np.errstate(all="ignore"):
            returned = function(*arrays, **settings)
        if returned is None:
            raise Form("returns nothing")
        if not isinstance(returned, (tuple, list)) or len(returned) < 2:
            raise Form("must return two things, y and the cache")
        *y, cache = returned
        entries = max((a.size for a in arrays if a is not None and a.dtype.kind == "f"), default=0)
        self.caches[token] = cache, entries
        y = y[0] if len(y) == 1 and isinstance(y[0], tuple) else y
        return self.sent([self.array(a) for a in y])

    def backward(self, name, dy, token, ids):
        self.watch(ids, dy[0] if isinstance(dy[0], tuple) else dy)
        cache, entries = self.caches[token]
        with self.np.errstate(all="ignore"), self.counting(entries) as calls:
            returned = self.names[name](*dy, cache)
        if returned is None:
            raise Form("returns nothing")
        returned = returned if isinstance(returned, (tuple, list)) else (returned,)
        grads = [None if g is None else self.array(g) for g in returned]
        return self.sent(grads, max(calls.values(), default=0), entries)

    @contextlib.contextmanager
    def counting(self, entries):
        """Count, for each of the student's functions, its calls with an array of at least so many entries.

        A backward that needs as many as there are entries is a numerical derivative.
        """
        calls = collections.Counter()

        def note(frame, event, _):
            if event == "call" and os.sep not in frame.f_code.co_filename and any(
                    isinstance(v, self.np.ndarray) and v.size >= entries for v in frame.f_locals.values()):
                calls[frame.f_code] += 1
        sys.setprofile(note if entries < LARGE else None)
        try:
            yield calls
        finally:
            sys.setprofile(None)

    def array(self, value):
        a = self.np.asarray(value)
        if a.dtype.kind not in "biufc":
            raise Form(f"returns a {type(value).__name__} where an array of numbers belongs")
        return a

    def watch(self, ids, arrays):
        for i, a in zip(ids, arrays, strict=True):
            if a is not None:
                self.watched[i] = a, a.tobytes()
        while len(self.watched) > KEPT:
            del self.watched[next(iter(self.watched))]

    def sent(self, arrays, calls=0, entries=0):
        """What goes back: the arrays, numbers to know them by, and what has changed of the arrays before."""
        changed = [[i, a] for i, (a, before) in self.watched.items() if a.tobytes() != before]
        self.watched.update({i: (a, a.tobytes()) for i, a in changed})
        ids = [-(self.number + k) for k in range(1, len(arrays) + 1)]
        self.number += len(arrays)
        self.watch(ids, arrays)
        return dict(arrays=arrays, ids=ids, changed=changed, calls=calls, entries=entries)

    def answer(self, request):
        for token in request.pop("drop"):
            self.caches.pop(token, None)
        return getattr(self, request.pop("do"))(**request)


def parameters(function):
    try:
        return inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()


def describe(error):
    """An exception as plain values: kind, text, and the student's line it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith((".py", "]"))
              and os.sep not in f.filename]
    label, line, function = (frames[-1].filename, frames[-1].lineno, frames[-1].name) if frames else ("", 0, "")
    if isinstance(error, SyntaxError) and not frames:
        label, line = error.filename or "", error.lineno or 0
    text = ""
    with contextlib.suppress(Exception):
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    known = [k for k in (NotImplementedError, Form, MemoryError) if isinstance(error, k)]
    kind = (known or [type(error)])[0].__name__
    like = next((k.__name__ for k in (ValueError, AssertionError) if isinstance(error, k)), "")
    return dict(kind=kind[:60], like=like, text=str(text)[:300], label=label, line=line, function=function)


def main():
    packages, folder, cpu, memory = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    asked, answered = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)                               # prints and errors share one pipe
    np, frames = import_all(packages)
    os.chdir(folder)
    not_locked = lock_in(folder, cpu, memory, np)
    sys.path.insert(0, folder)
    answers, number, data = Answers(np, not_locked), 0, bytearray()
    while True:
        while (length := frames.whole(data)) is None:
            more = os.read(asked, 1 << 16)
            if not more:
                os._exit(0)                     # the grader has gone
            data += more
        request, data = frames.unpack(bytes(data[:length]), trusted=True), data[length:]
        try:
            reply = frames.pack([number, "ok", answers.answer(request)])
        except BaseException as error:          # SystemExit and KeyboardInterrupt, too
            reply = frames.pack([number, "error", describe(error)])
        number += 1
        while reply:
            reply = reply[os.write(answered, reply):]


if __name__ == "__main__":
    main()
