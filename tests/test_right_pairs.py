"""Right backwards of other fields, in other people's styles: none is rejected, on no draw."""

from pathlib import Path

import numpy as np
import pytest

from tinynet.check.rates import false_alarms, judge_pair, load_right_pairs

PAIRS = load_right_pairs(Path(__file__).parent)
CANCELLING = ["bias_before_batch_norm", "softmax_does_not_see_a_shift", "unit_rows_of_one_number", "centred_bias",
              "a_scale_that_a_norm_takes_away", "scale_free_loss", "saturated_tanh",
              *(p.name for p in PAIRS if p.forward.__module__.endswith("cancelling"))]


def test_there_are_enough_and_each_has_a_name_of_its_own():
    assert len(PAIRS) >= 100
    assert len({p.name for p in PAIRS}) == len(PAIRS)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_a_right_pair_is_accepted(pair):
    for seed in (1, 2):
        judge_pair(pair, seed).raise_if_wrong()


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.name in CANCELLING], ids=lambda p: p.name)
def test_a_gradient_that_cancels_to_zero_is_accepted_on_every_draw(pair):
    assert [str(r) for seed in range(100) if not (r := judge_pair(pair, seed)).ok] == []


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.name not in CANCELLING], ids=lambda p: p.name)
def test_the_same_pair_with_a_gradient_off_by_one_per_cent_is_rejected(pair):
    def backward(dy, cache):
        grads = pair.backward(dy, cache)
        return _grown(grads)

    report = judge_pair(pair._replace(backward=backward), 1)
    assert not report.ok or _nothing_to_see(report)


def _grown(g):
    """1.01 times every gradient, whatever its form."""
    if isinstance(g, dict):
        return {k: _grown(v) for k, v in g.items()}
    if isinstance(g, (tuple, list)):
        return type(g)(_grown(v) for v in g)
    return None if g is None else 1.01 * np.asarray(g)


def _nothing_to_see(report):
    """y jumps on every entry that has a slope."""
    return any("not checked" in note or "all slopes" in note for note in report.notes)


def test_no_right_backward_of_ours_is_rejected():
    assert [str(report) for report in false_alarms(100, seed=1)] == []
