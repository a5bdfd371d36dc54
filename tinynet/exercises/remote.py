"""A student's forward and backward as functions of this process that ask the student's.

To the checker they look like functions written here: a cache is a Token for what stays in the student's process,
and an array that the student's code changes there is changed here, too.
"""

import contextlib
import inspect
import itertools
import weakref

import numpy as np

from tinynet.exercises import frames
from tinynet.exercises.sandbox import Gone, Raised, Sandbox


class Token:
    """Stands for a cache in the student's process; when the Token goes, the cache goes."""

    def __init__(self, number, dropped):
        self.number = number
        weakref.finalize(self, dropped.append, number).atexit = False

    def __deepcopy__(self, _):
        return self                     # what it stands for can't be copied from here


class Student:
    """One file of a student in a sandbox.

    functions   {name: [(parameter, kind, has a default?), ...]} of its X_forward and X_backward
    failed      the errors of a notebook's cells that failed
    last        "forward" or "backward", whichever was called last
    numerical   (calls, entries) of a backward that called one function, with an array as large as the largest input,
                at least as often as that has entries; None otherwise
    given       {block: source of X_forward} for backwards that are handed in alone

    Raises Raised or Gone when the file doesn't run.
    """

    def __init__(self, source, limits, given=None, left=None):
        self.source, self.given = source, given or {}
        files = dict(source.neighbours)
        self.sandbox = Sandbox(files, limits, left)
        self.tokens, self.ids, self.dropped = itertools.count(), itertools.count(1), []
        self.last, self.numerical = "forward", None
        self.mirrors = weakref.WeakValueDictionary()
        try:
            chunks = [(label, _bytes(text)) for label, text in source.chunks]
            given = {f"{block}_forward": _bytes(text) for block, text in (given or {}).items()}
            loaded = self.sandbox.ask(dict(do="load", chunks=chunks, given=given, keep_going=source.notebook),
                                      limits.load)
            self.functions = {str(name): [(str(p), int(kind), bool(default)) for p, kind, default in parameters]
                              for name, parameters in loaded["functions"].items()}
            self.failed = [Raised(what).what for what in loaded["failed"]]
        except (Raised, Gone):
            self.close()
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:      # a forged answer
            self.close()
            raise Raised(_strange(error)) from None

    def close(self):
        self.sandbox.close()

    # ---- the functions
    def forward(self, name, parameters=None):
        """X_forward(*arrays, **settings) -> y, Token; several outputs (a two-task form) as a tuple.

        parameters  the names to show; those of the student's own function if None
        """
        def forward(*arrays, **settings):
            token = Token(next(self.tokens), self.dropped)
            y, _ = self._ask(dict(do="forward", name=f"{name}_forward", settings=settings, token=token.number),
                          "arrays", arrays)
            return (y[0] if len(y) == 1 else tuple(y)), token
        return self._named(forward, f"{name}_forward", parameters)

    def backward(self, name):
        """X_backward(dy, Token) -> one gradient per array, or a tuple of them."""
        apart = len([p for p in self.functions.get(f"{name}_backward", ()) if not p[2]]) > 2

        def backward(dy, token):
            several = isinstance(dy, tuple)
            request = dict(do="backward", name=f"{name}_backward", token=token.number)
            grads, reply = self._ask(request, "dy", dy if several else (dy,), together=several and not apart)
            calls, entries = int(reply["calls"]), int(reply["entries"])
            if entries >= 15 and calls >= entries:
                self.numerical = calls, entries
            return grads[0] if len(grads) == 1 else tuple(grads)
        return self._named(backward, f"{name}_backward", ["dy", "cache"])

    def _named(self, function, name, parameters):
        shown = [(p, 1, False) for p in parameters or ()] or self.functions.get(name, ())
        function.__name__ = name
        with contextlib.suppress(ValueError):       # a name or an order that no function can have
            function.__signature__ = inspect.Signature([
                inspect.Parameter(p, inspect._ParameterKind(kind), default=None if default else inspect.Parameter.empty)
                for p, kind, default in shown])
        return function

    # ---- asking
    def _ask(self, request, key, arrays, together=False):
        """Send the arrays, take over what has changed of earlier ones, return the new ones."""
        self.last = request["do"]
        ids = [next(self.ids) for _ in arrays]
        for i, a in zip(ids, arrays, strict=True):
            if isinstance(a, np.ndarray):
                self.mirrors[i] = a
        sent = list(arrays)
        dropped, self.dropped[:] = self.dropped[:], []
        reply = self.sandbox.ask(dict(request, ids=ids, drop=dropped) | {key: [tuple(sent)] if together else sent})
        try:
            for i, content in reply["changed"]:
                mirror = self.mirrors.get(i)
                if mirror is not None and mirror.flags.writeable and mirror.shape == content.shape:
                    mirror[...] = content
            got = [a if a is None else np.asarray(a) for a in reply["arrays"]]
            if not got or any(a is not None and a.dtype.str not in frames.KINDS for a in got):
                raise ValueError("no arrays")
            self.mirrors.update({i: a for i, a in zip(reply["ids"], got, strict=True) if a is not None})
            return got, reply
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Raised(_strange(error)) from None


def _bytes(text):
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8)


def _strange(error):
    return dict(kind=type(error).__name__, text="it sent an answer of another form", label="", line=0, function="")
