"""`with tinynet.debug():` stops at the first NaN or inf and at an array changed behind the tape's back.

    >>> import tinynet as tn
    >>> x = tn.Tensor([1.0, 0.0], requires_grad=True)
    >>> with tn.debug():
    ...     y = (x * x - 1).sqrt()
    Traceback (most recent call last):
        ...
    FloatingPointError: sqrt: the first nan appears in its output at [1]   y = np.sqrt(x)
    input 0 there: -1.0
"""

import inspect
import re
import zlib

import numpy as np

from tinynet import backend


class debug:
    """Inside this context every step of the tape is looked at, forward and backward.

    Raises FloatingPointError at the op whose output or gradient is the first to hold NaN or inf,
    and RuntimeError at the op whose arrays were changed in place between forward and backward.
    Costs time: every array is read once more a step.
    """

    def __repr__(self):
        return "debug(): looks for the first NaN or inf, and for arrays changed in place, while it is entered"

    def __enter__(self):
        self.before, backend.watch = backend.watch, self
        self.errstate = np.errstate(all="ignore")       # we say it better than NumPy's warnings
        self.errstate.__enter__()
        return self

    def __exit__(self, *exception):
        self.errstate.__exit__(*exception)
        backend.watch = self.before

    def after_forward(self, op, arrays, out):
        where = _not_finite(out.data)
        if where is not None:
            value, index = out.data[where], _index(where)
            raise FloatingPointError(f"{op.name}: the first {value:.4g} appears in its output at {index}   "
                                     f"{equation(op.forward)}{_inputs_at(arrays, where)}")
        if out.step:
            out.step.memo = arrays, _fingerprints((arrays, out.step.cache))

    def before_backward(self, step, dy):
        where = _not_finite(dy)
        if where is not None:
            raise FloatingPointError(f"{step.op.name}: the upstream gradient already holds {dy[where]:.4g} "
                                     f"at {_index(where)}; it was passed to backward(dy) or made outside this context")
        if step.memo is not None:
            arrays, before = step.memo
            if before != _fingerprints((arrays, step.cache)):
                raise RuntimeError(f"{step.op.name}: an array that it was given or keeps for its backward was changed "
                                   f"in place between forward and backward   {equation(step.op.forward)}\n"
                                   "write x = x + 1 instead of x += 1 on its data, or change it after backward")

    def after_backward(self, step, grads):
        for i, d in enumerate(grads):
            where = None if d is None else _not_finite(d)
            if where is not None:
                raise FloatingPointError(f"{step.op.name}: the first {d[where]:.4g} of the backward pass appears in "
                                         f"the gradient of input {i} at {_index(where)}   {equation(step.backward)}")


def equation(function):
    """The equations that `function` computes, by its tags; for an untagged op its last line of code."""
    try:
        source = inspect.getsource(getattr(function, "loops", function))
    except (OSError, TypeError):        # typed at a prompt: no source to show
        return ""
    tags = re.findall(r"\((\d+\w?)\)", " ".join(re.findall(r"#.*", source)))
    doc = inspect.getmodule(function).__doc__ or ""
    lines = [line.strip() for line in doc.splitlines() if re.match(r"\s+\((\d+\w?)\)  ", line)]
    lines = [line for tag in dict.fromkeys(tags) for line in lines if line.startswith(f"({tag})")]
    code = [line.split("#")[0].strip() for line in source.splitlines() if "=" in line or "return" in line]
    computed = [line for line in code if not line.startswith(("def", "return"))] or code
    return "   ".join(lines) or (computed[-1] if computed else "")


def _not_finite(array):
    """The index of the first NaN or inf, or None."""
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return None
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


def _index(where):
    return "[" + ", ".join(map(str, where)) + "]"


def _inputs_at(arrays, where):
    """What the inputs hold at the same place, or where they are not finite themselves."""
    lines = []
    for i, array in enumerate(None if a is None else np.asarray(a) for a in arrays):
        bad = None if array is None else _not_finite(array)
        if bad is not None:
            lines.append(f"input {i} already holds {array[bad]:.4g} at {_index(bad)}")
        elif array is not None and array.ndim == len(where) and np.all(np.less(where, array.shape)):
            lines.append(f"input {i} there: {array[where]}")
    return "".join("\n" + line for line in lines)


def _fingerprints(nested):
    """A checksum for every array in nested tuples and lists (None for what is no array)."""
    if isinstance(nested, (tuple, list)):
        return [f for part in nested for f in _fingerprints(part)]
    return [zlib.crc32(np.ascontiguousarray(nested)) if isinstance(nested, np.ndarray) else None]
