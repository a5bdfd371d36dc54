"""Frames: how arrays travel between the grader and a student's process.

A frame is two lengths, a header in JSON that holds the structure, and the raw bytes of the arrays:

    4 bytes   length of the header, little-endian
    4 bytes   length of the body
    header    ["a", dtype, shape, strides, writeable], ["t", ...] a tuple, ["l", ...] a list, {...}, numbers, text
    body      the arrays' entries one after the other, each in C order

There are no pickles: reading a frame runs no code of the sender.  A hostile frame raises ValueError or is
just another wrong array.  Both processes load this file; it imports nothing of tinynet.
"""

import json
import struct

import numpy as np

KINDS = {"|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"}
LARGEST_HEADER, LARGEST_BODY = 1 << 20, 1 << 26         # bytes: 1 MiB and 64 MiB
LENT = ("shapes", "sparse", "graph")        # modules of tinynet that a student's process may import: no gradients


class Frame(ValueError):
    """Bytes that are no frame, or a value that can't be put into one."""


# %% Writing
def pack(tree):
    """The bytes of nested tuples, lists, dictionaries, numbers, text, slices, arrays and LENT objects.

    Raises Frame for anything else.
    """
    bodies = []
    header = json.dumps(_plain(tree, bodies)).encode()
    body = b"".join(bodies)
    if len(header) > LARGEST_HEADER or len(body) > LARGEST_BODY:
        raise Frame(f"an answer of {len(header) + len(body):,} bytes is too large")
    return struct.pack("<II", len(header), len(body)) + header + body


def _plain(t, bodies):
    if t is None or type(t) in (bool, int, float, str):
        return t
    if type(t) in (tuple, list):
        return ["t" if type(t) is tuple else "l", *(_plain(v, bodies) for v in t)]
    if type(t) is dict:
        return {str(key): _plain(value, bodies) for key, value in t.items()}
    if t is Ellipsis:
        return ["e"]
    if type(t) is slice:
        return ["s", *(_plain(v, bodies) for v in (t.start, t.stop, t.step))]
    if isinstance(t, (np.ndarray, np.generic)):
        return _plain_array(t, bodies)
    module = type(t).__module__.removeprefix("tinynet.")
    if module in LENT:
        held = {key: value for key, value in vars(t).items() if isinstance(value, (tuple, np.ndarray))}
        return ["o", module, type(t).__name__, _plain(held, bodies)]
    raise Frame(f"{_a(type(t).__name__)} is no array")


def _a(noun):
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _plain_array(t, bodies):
    a = np.asarray(t)
    dtype = a.dtype.newbyteorder("<")
    if dtype.str not in KINDS:
        raise Frame(f"an array of dtype {a.dtype} holds no numbers")
    if a.size * a.itemsize > LARGEST_BODY:
        raise Frame(f"an array of shape {a.shape} is too large")
    bodies.append(np.array(a, dtype, order="C", subok=False).tobytes())
    return ["a", dtype.str, list(a.shape), list(a.strides), bool(a.flags.writeable)]


# %% Reading
def whole(data):
    """The length of the frame that starts `data`, or None while bytes are missing; raises Frame if it is too long."""
    if len(data) < 8:
        return None
    header, body = struct.unpack_from("<II", data)
    if header > LARGEST_HEADER or body > LARGEST_BODY:
        raise Frame("a frame that is too long")
    return 8 + header + body if len(data) >= 8 + header + body else None


def unpack(data, trusted=False):
    """The tree of one whole frame.

    Only a `trusted` frame, one of the grader's own, may hold strides and LENT objects.
    Raises Frame, or whatever JSON raises on hostile bytes (RecursionError, UnicodeDecodeError ...).
    """
    header, _ = struct.unpack_from("<II", data)
    reader = _Reader(memoryview(data)[8 + header:], trusted)
    tree = reader.rich(json.loads(bytes(data[8:8 + header])))
    if len(reader.body):
        raise Frame("bytes left over")
    return tree


class _Reader:
    def __init__(self, body, trusted):
        self.body, self.trusted = body, trusted

    def rich(self, t):
        if isinstance(t, dict):
            return {key: self.rich(value) for key, value in t.items()}
        if not isinstance(t, list):
            return t
        tag, *rest = t or [None]
        if tag == "a":
            return self.array(*rest)
        if tag in ("t", "l"):
            return (tuple if tag == "t" else list)(self.rich(v) for v in rest)
        if tag == "e":
            return Ellipsis
        if tag == "s":
            return slice(*(self.rich(v) for v in rest))
        if tag == "o" and self.trusted:
            return self.lent(*rest)
        raise Frame("an unknown tag")

    def array(self, kind, shape, strides, writeable):
        if kind not in KINDS or not all(type(n) is int and 0 <= n <= LARGEST_BODY for n in shape) or len(shape) > 32:
            raise Frame("no array")
        length = np.dtype(kind).itemsize
        for n in shape:
            length *= n
        if length > len(self.body):
            raise Frame("an array longer than its bytes")
        a = np.frombuffer(bytes(self.body[:length]), kind).reshape(shape)
        self.body = self.body[length:]
        return _laid_out(a, strides, writeable) if self.trusted else a.copy()

    def lent(self, module, name, held):
        module = __import__(f"tinynet.{module}", fromlist=[name])
        thing = object.__new__(getattr(module, name))
        vars(thing).update(self.rich(held))
        return thing


def _laid_out(a, strides, writeable):
    """A copy of `a` with these strides: strided, Fortran-ordered or of stride 0 as the grader's array is."""
    reach = [(n - 1) * stride for n, stride in zip(a.shape, strides, strict=True)] if a.size else []
    first, last = -sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    memory = np.zeros(first + last + a.itemsize, np.uint8)
    view = np.ndarray(a.shape, a.dtype, memory, first, strides)
    view[...] = a
    view.flags.writeable = writeable
    return view
