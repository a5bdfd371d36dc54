"""Which calls of a block are agreed on with the student, and blocks that a slide writes in another form.

The cases of a block are its agreed calls.  The cross-stitch unit may also be written as tomaszewska fig7 has it,
for two tasks A and B with an array each:

    cross_stitch_forward(x_A, x_B, alpha) -> (y_A, y_B), cache
    cross_stitch_backward((dy_A, dy_B), cache) or (dy_A, dy_B, cache) -> dx_A, dx_B, dalpha
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from tinynet import cases
from tinynet.blocks.tasks.cross_stitch import cross_stitch_backward, cross_stitch_forward
from tinynet.engine import Op
from tinynet.exercises import frames, variants


class Form(NamedTuple):
    """How a student's pair is called.

    op       what is right
    cases    its agreed calls
    outputs  how many arrays the student's forward returns; they are the rows of the op's y
    only     sizes for which alone it may be right: the slide's two tasks
    """

    op: Op
    cases: list
    outputs: int = 1
    only: dict = {}         # noqa: RUF012  (never changed)

    def pair(self, student, name):
        """The student's (forward, backward) in the shape of the op's."""
        forward, backward = student.forward(name), student.backward(name)
        return (forward, backward) if self.outputs == 1 else _rows(forward, backward)


@cache
def _can_be_sent(case):
    """Whether the inputs of a case go through a frame: a function or a generator among its settings doesn't."""
    _, arrays, settings = cases.draw(case, np.random.default_rng(0), **cases.distinct(case))
    try:
        frames.pack([arrays, settings])
    except frames.Frame:
        return False
    return True


def form_of(block, functions, rule=""):
    """The Form of the student's functions {name: parameters} for this block, or for a variant of it by this rule."""
    if rule:
        changed = variants.cases_of(block, rule)
        return Form(changed[0].op, changed)
    agreed = [case for case in cases.of(block) if _can_be_sent(case)]
    forward = [p for p in functions.get(f"{block}_forward", ()) if not p[2]]
    if block != "cross_stitch":
        return Form(cases.of(block)[0].op, agreed)
    if len(forward) > 2 or len(functions.get(f"{block}_backward", ())) > 2:
        return TWO_TASKS
    return Form(cases.of(block)[0].op, agreed, only=dict(T=2))


# %% Two tasks
def _rows(forward, backward):
    def stacked(*arrays, **settings):
        ys, token = forward(*arrays, **settings)
        return np.array(ys), token

    def apart(dy, token):
        return backward(tuple(dy), token)
    stacked.__name__, stacked.__signature__ = forward.__name__, forward.__signature__
    return stacked, apart


def cross_stitch_two_tasks_forward(x_A, x_B, alpha):
    return cross_stitch_forward(np.stack([x_A, x_B]), alpha)


def cross_stitch_two_tasks_backward(dY, cache):
    (dx_A, dx_B), dalpha = cross_stitch_backward(dY, cache)
    return dx_A, dx_B, dalpha


def _two_tasks(rng, N, C):
    return rng.normal(size=(N, C)), rng.normal(size=(N, C)), rng.normal(size=(2, 2))


cross_stitch_two_tasks = Op(cross_stitch_two_tasks_forward, cross_stitch_two_tasks_backward)
TWO_TASKS = Form(cross_stitch_two_tasks, outputs=2, cases=[
    cases.Case("cross_stitch_two_tasks", cross_stitch_two_tasks, _two_tasks, ("N", "C"), ())])
