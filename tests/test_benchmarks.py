"""The benchmarks: the quick ones run, all their contenders do the same work, and ratios are drawn."""

import pytest

for package in ("torch", "autograd", "mygrad"):
    pytest.importorskip(package)

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import graph, timing  # noqa: E402

command.contenders()            # registers all


@pytest.mark.parametrize("name", ["apl_unit", "cross_entropy_of_characters", "image_conv_others", "op_overhead",
                                  "residual_step"])
def test_every_contender_of_a_quick_benchmark_runs(name):
    for run in timing.BENCHMARKS[name][2]().values():
        run()


def test_rows_become_lines_and_a_plot(tmp_path, monkeypatch):
    monkeypatch.setitem(timing.BENCHMARKS, "halves", ("half the work", 1.5, lambda: dict(tinynet=list, PyTorch=list)))
    row, = timing.rows("halves")
    assert row.ratio == row.other_ms / row.ours_ms
    for ratio, told in ((2.0, "reached"), (1.0, "MISSED")):
        assert command.line(row._replace(ratio=ratio)).endswith(f"goal 1.5: {told}")
    command.draw([row, row._replace(other="MyGrad", goal=None)], tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_time_and_memory_over_the_edges_are_drawn(tmp_path):
    found = {(library, edges): (edges / 1e6, 1.0) for edges in graph.SCALE
             for library in ("tinynet", "PyTorch Geometric")}
    graph.draw_scale(found, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 1000
