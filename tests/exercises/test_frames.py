"""Frames carry arrays as they are, and hostile bytes are refused."""

import json
import struct

import numpy as np
import pytest

from tinynet.exercises import frames
from tinynet.graph import Graph


def sent(tree):
    """What arrives of a trusted tree."""
    data = frames.pack(tree)
    assert frames.whole(data) == len(data)
    return frames.unpack(data, trusted=True)


def frame(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), len(body)) + text + body


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?", "c16", ">f8"])
def test_arrays_of_every_kind_arrive_with_the_same_entries(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    b = sent([a, a[:, ::2], a[:0], a[0, 0]])
    assert all(np.array_equal(x, y) for x, y in zip(b, [a, a[:, ::2], a[:0], a[0, 0]], strict=True))
    assert b[0].dtype == a.dtype.newbyteorder("<")


@pytest.mark.parametrize("a", [
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(12.0).reshape(4, 3)[::-2], np.arange(24.0)[::3],
    np.broadcast_to(1.5, (2, 3)), np.array(2.0), np.zeros((0, 3))], ids=["F", "backwards", "strided", "stride 0", "0-d",
                                                                       "empty"])
def test_the_memory_layout_arrives(a):
    b = sent(a)
    assert np.array_equal(a, b)
    assert b.strides == a.strides
    assert b.flags.writeable == a.flags.writeable


def test_structure_settings_and_graphs_arrive():
    tree = dict(a=(1, [2.5, None, "text"], True), index=(slice(None, None, 2), ..., 3))
    assert sent(tree) == tree
    graph = Graph.from_edges([(0, 1), (2, 0)], 3)
    assert [sent(graph).neighbours(i).tolist() for i in range(3)] == [[1], [], [0]]


@pytest.mark.parametrize("thing", [object(), np.array([object()]), np.array(["text"]), lambda: 0, {1, 2}, b"bytes"])
def test_what_is_no_number_is_not_sent(thing):
    with pytest.raises(frames.Frame, match=r"is no array|holds no numbers"):
        frames.pack([thing])


@pytest.mark.parametrize("data", [
    frame(["a", "<f8", [3], [8], True], b"\0" * 16), frame(["a", "<f8", [-1], [8], True]),
    frame(["a", "|O", [1], [8], True]), frame(["a", "<f8", [2.5], [8], True]),
    frame(["a", "<f8", [1] * 40, [8] * 40, True], b"\0" * 8), frame(["a", "<f8", [10**9, 10**9], [8, 8], True]),
    frame(["x", 1]), frame(["o", "graph", "Graph", {}]), frame([1], b"left over"), frame(b"[" * 5000),
    frame(b"\xff\xfe"), frame(["a"]), frame([])])
def test_hostile_frames_are_refused(data):
    with pytest.raises((ValueError, TypeError, RecursionError)):
        frames.unpack(data)


def test_a_frame_that_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(frames.Frame, match="too long"):
        frames.whole(struct.pack("<II", 2**31, 0))
    assert frames.whole(b"\1\0\0") is None
    assert frames.whole(frame([1])[:-1]) is None
