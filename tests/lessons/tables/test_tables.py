"""The papers' tables: the ledger survives what may happen to it, and the same table comes out however it was filled."""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lessons.tables import __main__ as command
from lessons.tables import ledger, report
from lessons.tables.graphs import tables as graph
from lessons.tables.ledger import Cell
from lessons.tables.table import Column, Table

joblib = pytest.importorskip("joblib")
CELL = Cell("shi fig9", "GAT", "cora", 0)


@pytest.fixture(autouse=True)
def no_files_of_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)


def test_what_is_appended_is_read_again(tmp_path):
    book = tmp_path / "ledger" / "t.jsonl"
    assert ledger.read(book) == {}
    ledger.append(book, CELL, {"test accuracy": 83.12345, "val accuracy": 80}, 1.234)
    ledger.append(book, CELL._replace(seed=1), {"test accuracy": 82.0}, 2)
    assert ledger.read(book) == {CELL: {"test accuracy": (83.1235, 1.23), "val accuracy": (80.0, 1.23)},
                                 CELL._replace(seed=1): {"test accuracy": (82.0, 2.0)}}
    first = json.loads(book.read_text().splitlines()[0])
    assert list(first) == [*Cell._fields, "metric", "value", "seconds", "version"]


def test_a_run_is_never_counted_twice(tmp_path):
    book = tmp_path / "ledger" / "t.jsonl"
    for value in (83.0, 84.0):
        ledger.append(book, CELL, {"test accuracy": value}, 1)
    assert ledger.read(book) == {CELL: {"test accuracy": (83.0, 1.0)}}


@pytest.mark.parametrize("torn", ['{"table": "shi fi', '{"table": 3}', "\ufffd", "[]", "null"])
def test_a_torn_line_is_passed_over_and_the_next_starts_anew(tmp_path, torn):
    book = tmp_path / "ledger.jsonl"
    book.write_text(torn, encoding="utf-8")
    ledger.append(book, CELL, {"test accuracy": 83.0}, 1)
    assert ledger.read(book) == {CELL: {"test accuracy": (83.0, 1.0)}}


# %% A small group of tables in place of the real one
def score(run):
    dataset, seed = run.dataset, run.seed
    if run.data and seed == 2 and not (once := Path(run.data) / "killed").exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)        # a single worker is the command itself
    return {"val accuracy": seed, "test accuracy": 50 + seed + len(dataset) / 10}


def worse(run):
    return {"val accuracy": -1.0, "test accuracy": 99.0}


def absent(folder):
    raise FileNotFoundError("its files are missing")


SMALL = Table("t", "accuracy %", ("a", "bbbb"),
                     {"Old": dict(a="40.0"), "New": dict(a="51.0 +- 0.5", bbbb="60.0")},
                     {"New": {"New one": score, "New two": worse}})
ABSENT = Table("u", "accuracy %", ("b",), {"New": dict(b="60.0")}, {"New": {"New": score}}, needs=absent)
TABLES = SMALL, ABSENT


def program(*arguments):
    """What runs the command on this small group, in a process of its own."""
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
            f"import test_tables as t; sys.modules['lessons.tables.graphs.tables'] = t; "
            f"sys.exit(t.command.main({list(arguments)!r}))"]


def run(*arguments):
    """Its standard output, once it has ended well."""
    ended = subprocess.run(program("graphs", *arguments), capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_same_table_for_any_number_of_workers(tmp_path):
    texts = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        told = run("--runs", "3", "--workers", workers, "--figures", str(folder))
        text = (folder / "results" / "graphs.md").read_text()
        texts.append([line.split("|")[:5] for line in text.splitlines()])
        assert (folder / "t_paper-beside-ours.png").stat().st_size > 5000
    assert texts[0] == texts[1]
    assert "| New | 51.0 +- 0.5 | 51.1 +- 1.0 | 3 |" in text
    assert "New one" in text
    assert "| Old | 40.0 |  |  |  | as quoted |" in text
    assert "u is left out: its files are missing" in told
    assert "not run" in text
    assert "-8.6: more than the spread, reason not found" in text


def test_what_is_in_the_ledger_is_not_run_again():
    def missing(done, *arguments):
        return [str(cell) for cell in command.missing(SimpleNamespace(TABLES=TABLES, SEEDS=2), done, command.parse(
            ["graphs", *arguments]))]

    one, two = (f"t: New {n} on a, seed 0" for n in ("one", "two"))
    assert missing({}, "--runs", "1", "--only", "on a") == [one, two]
    cell = Cell("t", "New one", "a", 0)
    assert missing({cell: {"test accuracy": (50.0, 1.0)}}, "--runs", "1", "--only", "on a") == [two]
    assert missing({cell: {"val accuracy": (50.0, 1.0)}}, "--runs", "1", "--only", "on a") == [one, two]   # torn
    assert len(missing({}, "--runs", "3")) == 12
    assert len(missing({})) == 8                                                        # as many as the topic says
    with pytest.raises(ValueError, match='--only "on c": no run has this in its name; they read like "t: New one on a'):
        missing({}, "--only", "on c")


def test_runs_whose_files_are_missing_are_known_but_left_out(capsys):
    asked = command.parse(["graphs", "--runs", "1", "--only", "u: New"])
    assert command.missing(SimpleNamespace(TABLES=TABLES), {}, asked) == []
    assert capsys.readouterr().out == "u is left out: its files are missing\n"


def test_ctrl_c_leaves_the_tables_of_what_is_done(tmp_path, capsys, monkeypatch):
    def interrupted(group, todo, asked):
        ledger.append(asked.figures / "ledger" / "t.jsonl", todo[0], {"val accuracy": 50, "test accuracy": 51.0}, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_all", interrupted)
    monkeypatch.setitem(sys.modules, "lessons.tables.graphs.tables", sys.modules[__name__])
    assert command.main(["graphs", "--runs", "1", "--figures", str(tmp_path)]) == 130
    assert "| New | 51.0 +- 0.5 | 51.0 | 1 |" in (tmp_path / "results" / "graphs.md").read_text()
    assert "the same command goes on from there" in capsys.readouterr().out


def test_killed_it_goes_on_where_it_was(tmp_path, monkeypatch):
    there = "--runs", "4", "--workers", "1", "--figures", str(tmp_path), "--data", str(tmp_path)
    killed = subprocess.run(program("graphs", *there), capture_output=True, timeout=240)
    assert killed.returncode == -signal.SIGKILL
    done = ledger.read(tmp_path / "ledger" / "t.jsonl")
    assert sorted({cell.seed for cell in done}) == [0, 1]
    run(*there)
    assert len(ledger.read(tmp_path / "ledger" / "t.jsonl")) == 16
    assert done.items() <= ledger.read(tmp_path / "ledger" / "t.jsonl").items()
    text = (tmp_path / "ledger" / "t.jsonl").read_text()
    assert len(text.splitlines()) == 32
    monkeypatch.setitem(sys.modules, "lessons.tables.graphs.tables", sys.modules[__name__])
    assert command.main(["graphs", *there]) == 0                 # nothing is left to run
    assert (tmp_path / "ledger" / "t.jsonl").read_text() == text


def test_a_dask_cluster_gives_the_same_table(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setitem(sys.modules, "lessons.tables.graphs.tables", sys.modules[__name__])
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        there = "--dask", cluster.scheduler_address, "--figures", str(tmp_path)
        assert command.main(["graphs", "--runs", "3", *there]) == 0
    assert "| New | 51.0 +- 0.5 | 51.1 +- 1.0 | 3 |" in (tmp_path / "results" / "graphs.md").read_text()


def test_a_run_that_diverges_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def diverging(run):
        raise FloatingPointError("the loss is nan")

    table = SMALL._replace(run={"New": {"New one": score, "New two": diverging}})
    group = SimpleNamespace(__name__="lessons.tables.graphs.tables", TABLES=(table,))
    monkeypatch.setitem(sys.modules, "lessons.tables.graphs.tables", group)
    assert command.main(["graphs", "--runs", "1", "--workers", "1", "--figures", str(tmp_path)]) == 1
    assert "t: New two on a, seed 0 failed: the loss is nan" in capsys.readouterr().err
    assert len(ledger.read(tmp_path / "ledger" / "t.jsonl")) == 2


def test_a_system_without_chance_is_judged_by_its_one_run():
    table = Table("t", "%", ("a",), {"Sure": dict(a="40.0")}, {"Sure": {"Sure": score}}, deterministic=("Sure",),
                         why={("Sure", "a"): "so"})
    assert report.verdict(table, "Sure", "a", "40.0", [45.0]) == "+5.0: so"
    assert report.verdict(table, "Sure", "a", "40.0", [40.04]) == ""
    assert report.verdict(table._replace(deterministic=()), "Sure", "a", "40.0", [45.0]) == "+5.0: so"


def test_runs_that_went_astray_do_not_pass_as_spread():
    table = SMALL._replace(datasets=("a",))
    assert report.verdict(table, "New", "a", "51.0 +- 0.5", [15.0, 51.0, 52.0, 53.0]) == \
        "single runs from 15.0 to 53.0, half of them above 51.5: reason not found"
    assert report.verdict(table, "New", "a", "51.0 +- 0.5", [50.0, 51.0, 52.0]) == ""
    assert report.verdict(graph.FIG8, "GAT", "ppi", "0.973 +- 0.002", [0.1, 0.97, 0.975, 0.974]) == \
        "single runs from 0.100 to 0.975, half of them above 0.972: reason not found"
    table = table._replace(why={("New", "a"): "so"})
    assert report.verdict(table, "New", "a", "51.0 +- 0.5", [15.0, 51.0, 52.0, 53.0]).endswith("above 51.5: so")


def test_a_single_run_is_called_one_with_and_without_a_papers_value():
    table = SMALL._replace(datasets=("a",))
    assert report.verdict(table, "New", "a", "51.0 +- 0.5", [51.2]) == "+0.2"
    assert report.verdict(table, "New", "a", "", [51.2]) == ""
    assert report.verdict(table, "New", "a", "", [51.2, 51.3]) == ""


def test_rows_are_compared_seed_by_seed(tmp_path):
    table = SMALL._replace(datasets=("a",), paper={"Old": {}, "New": {}}, columns=(Column("error", lower=True),),
                           run={"Old": {"Old": score}, "New": {"New": score}}, beside="Old")
    values = {"Old": {0: 10.0, 1: 20.0, 2: 30.0, 3: 0.0}, "New": {2: 27.0, 1: 19.0, 0: 11.0}}    # seed 3: not run yet
    runs = {Cell("t", system, "a", seed): {"error": (value, 1.0)}
            for system, its in values.items() for seed, value in its.items()}
    assert report.compared(table, "New", "a", runs) == "-1.0 +- 1.2, better in 2 of 3 seeds"
    higher = table._replace(columns=(Column("error"),))
    assert report.compared(higher, "New", "a", runs) == "-1.0 +- 1.2, better in 1 of 3 seeds"
    assert report.compared(table, "Old", "a", runs) == ""
    assert report.compared(table._replace(beside=""), "New", "a", runs) == ""
    one = {cell: its for cell, its in runs.items() if cell.seed == 0}
    assert report.compared(table, "New", "a", one) == ""
    text = report.write((table,), runs, tmp_path, "x")
    assert "compares each row with Old, seed by seed" in text
    assert "| New | 19.0 +- 8.0 | 3 | 1.0 | -1.0 +- 1.2, better in 2 of 3 seeds |" in text


def test_the_papers_values_are_those_of_the_deck():
    assert graph.FIG9.paper["GAT"] == dict(cora="83.0 +- 0.7", citeseer="72.5 +- 0.7", pubmed="79.0 +- 0.3")
    rows = {system: "/".join(paper.get(name, "-") for name in graph.FIG9.datasets)
            for system, paper in graph.FIG9.paper.items() if paper and "+-" not in str(paper)}
    assert rows == {
        "MLP": "55.1/46.5/71.4", "ManiReg": "59.5/60.1/70.7", "SemiEmb": "59.0/59.6/71.7", "LP": "68.0/45.3/63.0",
        "DeepWalk": "67.2/43.2/65.3", "ICA": "75.1/69.1/73.9", "Planetoid": "75.7/64.7/77.2",
        "Chebyshev": "81.2/69.8/74.4", "GCN": "81.5/70.3/79.0"}
    assert graph.FIG9.paper["MoNet"] == dict(cora="81.7 +- 0.5", pubmed="78.8 +- 0.3")
    assert graph.FIG9.paper["GCN-64*"] == dict(cora="81.4 +- 0.5", citeseer="70.9 +- 0.5", pubmed="79.0 +- 0.3")
    assert [paper["ppi"] for paper in graph.FIG8.paper.values()] == [
        "0.396", "0.422", "0.500", "0.598", "0.612", "0.600", "0.768", "0.934 +- 0.006", "0.973 +- 0.002"]


@pytest.mark.parametrize("topic", command.TOPICS)
def test_what_is_committed_is_what_the_ledger_says(topic, tmp_path):
    tables = importlib.import_module(f"lessons.tables.{topic}.tables").TABLES
    text = report.write(tables, ledger.read_all(tables, command.FIGURES), tmp_path, topic)
    assert text == (command.FIGURES / "results" / f"{topic}.md").read_text(encoding="utf-8")


def test_the_graphs_papers_values_are_numbers_and_their_runs_have_rows():
    for table in graph.TABLES:
        for row in table.paper.values():
            assert all(report.stated(value) for value in row.values())
        assert table.run.keys() <= table.paper.keys()


def test_what_can_not_be_done_is_told_in_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    assert command.main(["graphs", "--runs", "-1", "--figures", str(tmp_path)]) == 2
    assert "--runs -1" in capsys.readouterr().err
    there = "--data", str(tmp_path), "--figures", str(tmp_path)
    assert command.main(["graphs", "--runs", "1", "--workers", "1", *there]) == 2
    assert "lacks ind." in capsys.readouterr().err


# %% Columns, curves, and a run's own folder
def resuming(run):
    """Writes down how often it was started; a curve and two numbers."""
    book = run.folder / "starts"
    book.write_text(book.read_text() + "x" if book.exists() else "x")
    if run.data and run.seed == 1 and len(book.read_text()) == 1:
        raise KeyboardInterrupt
    return {"error": 5.0 + run.seed, "starts": len(book.read_text()), "curve": [[1, 9.0], [2, 5.0 + run.seed]]}


def test_several_columns_and_a_curve(tmp_path):
    table = Table("t", "%", ("a",), {"New": dict(a={"error": "5.5"})}, {"New": {"New": resuming}},
                  columns=(Column("error"), Column("starts", digits=0), Column("curve", axis="epoch")))
    runs = {Cell("t", "New", "a", seed): {"error": (5.0 + seed, 1.0), "starts": (1.0, 1.0),
                                          "curve": ([[1, 9.0], [2, 5.0 + seed]], 1.0)} for seed in range(2)}
    text = report.write((table,), runs, tmp_path, "x")
    assert "| system | error paper | error ours | starts ours | seeds" in text      # no empty column, no curve
    assert "| New | 5.5 | 5.5 +- 0.7 | 1 +- 0 | 2 | 1.0 |  |" in text
    assert (tmp_path / "t_curve.png").stat().st_size > 5000
    book = tmp_path / "t.jsonl"
    ledger.append(book, CELL, {"curve": [(1, 9.0), (2, 5.0)]}, 1)
    assert ledger.read(book)[CELL]["curve"][0] == [[1, 9.0], [2, 5.0]]


def test_curves_of_a_longer_training_have_a_panel_of_their_own(tmp_path, monkeypatch):
    table = Table("t", "%", ("a",), {"short": {}, "long": {}}, {name: {name: resuming} for name in ("short", "long")},
                  columns=(Column("error"), Column("curve", axis="epoch")), longer=("long",))
    runs = {Cell("t", name, "a", 0): {"error": (5.0, 1.0), "curve": ([[i, 9.0 / i] for i in range(1, n + 1)], 1.0)}
            for name, n in (("short", 4), ("long", 40))}
    drawn, subplots = [], report.plot.subplots
    monkeypatch.setattr(report.plot, "subplots", lambda *a, **k: drawn.append(subplots(*a, **k)) or drawn[-1])
    report.draw_curves(table, table.columns[1], runs, tmp_path / "curve.png")
    short, longer = drawn[0][1][0]
    assert [len(line.get_xdata()) for line in short.lines] == [4]
    assert [len(line.get_xdata()) for line in longer.lines] == [40]
    assert [text.get_text() for text in longer.get_legend().get_texts()] == ["short", "long"]


def test_a_run_that_was_stopped_finds_its_own_folder_again_and_it_is_removed_at_the_end(tmp_path, monkeypatch):
    table = SMALL._replace(run={"New": {"New one": resuming}}, columns=(Column("starts"),), datasets=("a",))
    group = SimpleNamespace(__name__="lessons.tables.graphs.tables", TABLES=(table,))
    monkeypatch.setitem(sys.modules, "lessons.tables.graphs.tables", group)
    there = ["graphs", "--runs", "2", "--workers", "1", "--figures", str(tmp_path), "--data", str(tmp_path)]
    assert command.main(there) == 130
    assert command.main(there) == 0
    done = ledger.read(tmp_path / "ledger" / "t.jsonl")
    starts = {cell.seed: measured["starts"][0] for cell, measured in done.items()}
    assert starts == {0: 1.0, 1: 2.0}
    assert list((tmp_path / "cache" / "tables").iterdir()) == []
