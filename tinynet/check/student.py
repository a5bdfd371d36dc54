"""`python -m tinynet check FILE.py`: a student's forwards and backwards, run through our battery.

A file may define `X_forward` and/or `X_backward` for any block X that `tinynet.cases` knows:
both are checked together; a backward alone gets the cache of our forward; a forward alone must
give our y.
"""

import difflib
import inspect
import sys
import traceback
import types
import warnings
from pathlib import Path

import numpy as np

from tinynet import cases
from tinynet.check.gradient import gradcheck


class CannotCheck(Exception):
    """There is nothing to check: the file can't be read or run, or defines no known block."""


# %% The inputs
def draws(op_name):
    """(case, empty?, what, arrays, settings): different sizes, two random ones, each axis of size 1, each empty."""
    for case in cases.of(op_name):
        varied = [cases.distinct(case), {}, {}, *({letter: 1} for letter in case.letters),
                  *({letter: 0} for letter in case.letters if letter not in case.never_empty)]
        varied = [sizes for sizes in varied if cases.possible(case, **sizes)]
        for seed, sizes in enumerate(varied):
            _, arrays, settings = cases.draw(case, np.random.default_rng(seed), **sizes)
            shapes = ", ".join("None" if a is None else str(a.shape) for a in arrays)
            yield case, 0 in sizes.values(), f"case {case.name}, arrays of shape {shapes}", arrays, settings


# %% The check of one block
def check_block(op_name, forward=None, backward=None):
    """(what is wrong, notes): the first thing that is wrong, as text, or None; either half may be left out.

    A case that asks for more than the student's forward is made for (an option it doesn't have, further
    axes) is passed over with a note; what goes wrong with an empty axis alone is a note, too.
    """
    op, passed_over, notes, tried = cases.of(op_name)[0].op, {}, {}, set()
    for case, empty, what, arrays, settings in draws(op_name):
        if forward and case.name not in tried and case.name not in passed_over:
            reason = _not_made_for(forward, arrays, settings, tried)
            if reason:
                passed_over[case.name] = f"case {case.name} was passed over: {reason}"
        if case.name in passed_over:
            continue
        tried.add(case.name)
        wrong = _wrong(op, forward, backward, arrays, settings, empty)
        if wrong and empty:
            notes.setdefault("empty", f"note: with an empty axis {wrong.partition(chr(10))[0]}; {what}")
        elif wrong:
            return f"{op_name}: WRONG\n  {wrong}\n  with {what}{_settings(settings)}", []
        else:
            notes.setdefault("float32", _float32_note(forward or op.forward, backward, arrays, settings))
    if not tried:
        return f"{op_name}: WRONG\n  {next(iter(passed_over.values()))}", []
    return None, [*passed_over.values(), *filter(None, notes.values())]


def _wrong(op, forward, backward, arrays, settings, empty):
    try:
        return ((forward and _forward_wrong(op, forward, arrays, settings))
                or (backward and _backward_wrong(forward or op.forward, backward, arrays, settings)))
    except Exception as error:
        if not empty:
            raise
        return f"{type(error).__name__}: {error}"


def _not_made_for(forward, arrays, settings, tried):
    """Why this case isn't one for the student's forward, or None.

    Its signature decides; once a case has been tried, an error in another counts, too.
    """
    try:
        inspect.signature(forward).bind(*arrays, **settings)
    except TypeError as error:
        return f"forward: {error}"
    try:
        forward(*(None if a is None else a.copy() for a in arrays), **settings)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}" if tried else None
    return None


def _settings(settings):
    return "".join(f", {name}={value}" for name, value in settings.items())


def _forward_wrong(op, forward, arrays, settings):
    before = [None if a is None else a.copy() for a in arrays]
    returned = forward(*arrays, **settings)
    for a, b in zip(arrays, before, strict=True):
        if a is not None and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            a[...] = b
            return "forward changes its inputs: work on copies"
    if not isinstance(returned, tuple) or len(returned) != 2:
        return "forward must return two things, y and the cache"
    y, right = np.asarray(returned[0]), np.asarray(op.forward(*arrays, **settings)[0])
    if y.shape != right.shape:
        return f"y has shape {y.shape} where it should be {right.shape}"
    error = np.abs(y - right)
    if (error <= 1e-9 * max(np.abs(right).max(initial=0.0), 1e-9)).all():
        return None
    worst = np.unravel_index(error.argmax(), error.shape)       # NaN is the worst of all
    ratios = y[right != 0] / right[right != 0]
    same = ratios.size and np.ptp(ratios) < 1e-9
    factor = f"; every entry is {ratios[0]:.6g} times what it should be" if same else ""
    where = f"[{', '.join(map(str, worst))}]" if worst else ""
    return f"y is wrong, worst y{where}: {y[worst]:.6g} where it should be {right[worst]:.6g}{factor}"


def _backward_wrong(forward, backward, arrays, settings):
    report = gradcheck(forward, backward, *arrays, **settings)
    return None if report.ok else str(report).partition("\n")[2].strip()


def _float32_note(forward, backward, arrays, settings):
    if any(a is not None and a.dtype.kind in "iu" for a in arrays):
        return None             # NumPy makes float64 of float32 and integers
    arrays = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    y, cache = forward(*arrays, **settings)
    if np.asarray(y).dtype != np.float32:
        return (f"note: forward turns float32 into {np.asarray(y).dtype}; keep the dtype of the input "
                "(np.sqrt(d) is a float64, d ** 0.5 isn't)")
    grads = _tuple(backward(np.ones_like(y), cache)) if backward else ()
    other = [np.asarray(g).dtype for g in grads if g is not None and np.asarray(g).dtype != np.float32]
    return f"note: backward turns float32 into {other[0]}; keep the dtype of dy" if other else None


def _tuple(grads):
    return tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)


# %% The command
def check_file(path, out=print):
    """Check every known block in the file and print what was found; returns the exit code:
    0 all right, 1 something is wrong, 2 nothing could be checked."""
    try:
        pairs, notes = _pairs(_load(path))
    except CannotCheck as error:
        out(str(error))
        return 2
    failed = []
    for name, pair in pairs.items():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                wrong, more = check_block(name, **pair)
            except Exception as error:
                more, wrong = [], f"{name}: WRONG\n  {_one_sentence(error, path)}{_hint(name, pair)}"
        if wrong:
            failed.append(name)
        out(wrong or f"{name}: right ({' and '.join(pair)})")
        for note in more:
            out(f"  {note}")
    for note in notes:
        out(note)
    out(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(pairs)}")
    return 1 if failed else 0


def _hint(name, pair):
    if "forward" in pair:
        return ""
    module = sys.modules[cases.of(name)[0].op.forward.__module__]
    return f"\n  its cache came from our forward, see {Path(module.__file__).parent.name}/{Path(module.__file__).name}"


def _load(path):
    """The module of a file, run."""
    try:
        source = Path(path).read_text(encoding="utf-8")
        code = compile(source, str(path), "exec")
    except SyntaxError as error:
        raise CannotCheck(f"{path}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:      # ValueError: not text, or with null bytes
        reason = error.strerror if isinstance(error, OSError) else "it isn't Python source in UTF-8"
        raise CannotCheck(f"can't read {path}: {reason}") from None
    module = types.ModuleType(Path(path).stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(Path(path).resolve().parent))        # its neighbours can be imported, as when it is run
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise CannotCheck(f"the file doesn't run: {_one_sentence(error, path)}") from None
    finally:
        sys.path.pop(0)
    return module


def _pairs(module):
    """{block: {"forward": function, "backward": function}} and notes on names that no block has."""
    known, pairs, notes = cases.op_names(), {}, []
    names = [f"{block}_{half}" for block in known for half in ("forward", "backward")]
    for name, function in vars(module).items():
        block, _, half = name.rpartition("_")
        if half not in ("forward", "backward") or not callable(function) or name.startswith("_"):
            continue
        if block in known:
            pairs.setdefault(block, {})[half] = function
        else:
            near = difflib.get_close_matches(name, [n for n in names if n.endswith(half)], 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            notes.append(f"{name} was passed over: there is no block {block!r}{meant}")
    if not pairs:
        why = "\n".join(notes) if notes else f"define X_forward or X_backward for one of: {', '.join(known)}"
        raise CannotCheck(f"{module.__file__} defines nothing to check.\n{why}")
    return pairs, notes


def _one_sentence(error, path):
    """Where in the student's file it happened, and what."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"{path}, line {frames[-1].lineno}, in {frames[-1].name}: " if frames else ""
    return f"{where}{type(error).__name__}: {str(error).partition(chr(10))[0]}"
