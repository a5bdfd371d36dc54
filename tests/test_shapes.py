"""sizes(): the letters bind, and a mismatch is told in letters, sizes and a remedy; so are counts that aren't whole."""

import re

import numpy as np
import pytest

from tinynet.blocks.units.linear import Linear
from tinynet.shapes import ShapeError, must_be_whole, sizes


def softmax_forward(pattern, *arrays):
    return sizes(pattern, *(None if shape is None else np.empty(shape) for shape in arrays))


def test_letters_are_returned_in_order_of_appearance():
    assert softmax_forward("Q: B M d, K: B N d", (2, 3, 4), (2, 5, 4)) == (2, 3, 4, 5)


def test_absent_arrays_and_leading_axes_are_passed_over():
    assert softmax_forward("x: ... D, W: C D, b: C", (7, 2, 3), (4, 3), None) == (3, 4)
    assert softmax_forward("b: C", None) == (None,)


@pytest.mark.parametrize(("pattern", "shapes", "message"), [
    ("K: B N d, V: B N e", [(2, 5, 8), (2, 6, 4)],
     "softmax: K (B N d) = (2, 5, 8) and V (B N e) = (2, 6, 4): N is 5 and 6; make them equal"),
    ("A: T T", [(2, 3)], "softmax: A (T T) = (2, 3): T is 2 and 3; make them equal"),
    ("X: N D", [(3,)], "softmax: X has shape (3,), but needs 2 axes (N D)"),
    ("x: ... D, W: C D", [(7, 2), (4, 3)],
     "softmax: x (D) = (2,) and W (C D) = (4, 3): D is 2 and 3; make them equal"),
    ("X: N 2", [(5, 3)], "softmax: X (N 2) = (5, 3): the axis marked 2 must have size 2"),
])
def test_the_message_names_block_letters_sizes_and_remedy(pattern, shapes, message):
    with pytest.raises(ShapeError) as error:
        softmax_forward(pattern, *shapes)
    assert str(error.value) == message


def test_a_helper_speaks_in_its_blocks_name():
    def _flat():
        return softmax_forward.__globals__["sizes"]("X: N D", np.empty(3))

    def layer_norm_backward_fast():
        return [_flat() for _ in range(1)]

    with pytest.raises(ShapeError, match=r"^layer_norm: "):
        layer_norm_backward_fast()


@pytest.mark.parametrize("n", [3, np.int8(3), np.uint64(3)])
def test_whole_numbers_of_python_and_numpy_are_taken(n):
    must_be_whole("Linear", "d_in", n, 3)


@pytest.mark.parametrize("n", [3.0, np.float64(3), True, np.True_, "3", None, np.array([3]), 2, -3])
def test_what_is_no_whole_number_or_too_small_is_told_in_the_name_of_the_block(n):
    with pytest.raises(ValueError, match=re.escape(f"Linear: d_in is {n!r}; give a whole number, 3 or more")):
        must_be_whole("Linear", "d_in", n, 3)


def test_sizes_of_a_linear_layer_that_are_no_whole_numbers_are_told():
    with pytest.raises(ValueError, match=r"^Linear: d_in is 3\.0; give a whole number, 0 or more$"):
        Linear(3.0, 4)
    with pytest.raises(ValueError, match=r"^Linear: d_out is -1; "):
        Linear(3, -1)
