"""The house style: one width, signs that grey keeps, and drawings that stay on their paper."""

import numpy as np
import pytest

from tinynet import diagrams, plot


@pytest.fixture(autouse=True)
def _closed(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    plot._pyplot().close("all")


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (3, 2)])
def test_every_figure_has_the_same_width(rows, columns):
    fig, _ = plot.subplots(rows, columns)
    assert fig.get_figwidth() == plot.WIDTH


def test_a_signed_picture_marks_its_signs():
    values = np.array([[1.0, -1.0, 0.0], [-0.9, 0.8, 0.05]])
    _, ax = plot.subplots()
    plot.image(ax, values, signed=True)
    plus, minus = (marks.get_offsets().tolist() for marks in ax.collections)
    assert (plus, minus) == ([[0, 0], [1, 1]], [[1, 0], [0, 1]])


def test_numbers_are_written_in_a_colour_that_differs_from_the_cell():
    _, ax = plot.subplots()
    plot.image(ax, np.array([[0.0, 1.0]]), numbers=".1f")
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [("0.0", "white"), ("1.0", "black")]


def test_no_two_lines_look_alike():
    assert len({tuple(plot.look(i).values()) for i in range(36)}) == 36


def test_one_legend_serves_all_panels():
    fig, axes = plot.subplots(1, 2)
    for ax in axes:
        plot.curves(ax, [0, 1], {"a": [0, 1], "b": [1, 0]}, legend=None)
    assert [text.get_text() for text in plot.legend_below(fig, axes[0]).get_texts()] == ["a", "b"]
    assert not any(ax.get_legend() for ax in axes)


@pytest.mark.parametrize("draw", [diagrams.residual_block, diagrams.cross_stitch_unit, diagrams.cross_stitch_net,
                                  diagrams.hard_sharing, diagrams.soft_sharing])
def test_a_drawing_stays_on_its_paper(draw):
    fig, ax = plot.subplots()
    draw(ax)
    fig.canvas.draw()
    paper = ax.get_window_extent()
    boxes = [patch.get_window_extent() for patch in ax.patches] + [text.get_window_extent() for text in ax.texts]
    assert len(ax.texts) > 4
    assert all(paper.x0 - 2 <= b.x0 and b.x1 <= paper.x1 + 2 and paper.y0 - 2 <= b.y0 and b.y1 <= paper.y1 + 2
               for b in boxes)
