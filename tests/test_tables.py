"""The papers' tables: the ledger survives what may happen to it, and the same table comes out however it was filled."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lessons.tables import __main__ as command
from lessons.tables import graph, ledger, report
from lessons.tables.ledger import Cell

joblib = pytest.importorskip("joblib")
CELL = Cell("shi fig9", "GAT", "cora", 0)


def test_what_is_appended_is_read_again(tmp_path):
    book = tmp_path / "ledger.jsonl"
    assert ledger.read(book) == {}
    ledger.append(book, CELL, {"test accuracy": 83.12345, "val accuracy": 80}, 1.234)
    ledger.append(book, CELL._replace(seed=1), {"test accuracy": 82.0}, 2)
    assert ledger.read(book) == {CELL: {"test accuracy": (83.1235, 1.23), "val accuracy": (80.0, 1.23)},
                                 CELL._replace(seed=1): {"test accuracy": (82.0, 2.0)}}
    first = json.loads(book.read_text().splitlines()[0])
    assert list(first) == [*Cell._fields, "metric", "value", "seconds", "version"]


def test_a_run_is_never_counted_twice(tmp_path):
    book = tmp_path / "ledger.jsonl"
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
def score(dataset, seed, folder):
    if dataset == "slow":
        time.sleep(0.2)
    return {"test accuracy": 50 + seed + len(dataset) / 10, "val accuracy": seed}


def worse(dataset, seed, folder):
    return {"test accuracy": 99.0, "val accuracy": -1.0}


def absent(folder):
    raise FileNotFoundError("its files are missing")


SMALL = report.Table("t", "accuracy %", ("a", "slow"),
                     {"Old": dict(a="40.0"), "New": dict(a="51.0 +- 0.5", slow="60.0")},
                     {"New": {"New one": score, "New two": worse}})
ABSENT = report.Table("u", "accuracy %", ("b",), {"New": dict(b="60.0")}, {"New": {"New": score}}, needs=absent)
TABLES, DETERMINISTIC = (SMALL, ABSENT), set()


def program(*arguments):
    """What runs the command on this small group, in a process of its own."""
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
            f"import test_tables as t; t.command.GROUPS['graph'] = t; sys.exit(t.command.main({list(arguments)!r}))"]


def run(*arguments):
    """Its standard output, once it has ended well."""
    ended = subprocess.run(program("graph", *arguments), capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_same_table_for_any_number_of_workers(tmp_path):
    texts = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        told = run("--runs", "3", "--workers", workers, "--figures", str(folder))
        text = (folder / "RESULTS.md").read_text()
        texts.append([line.split("|")[:5] for line in text.splitlines()])
        assert (folder / "t_paper-beside-ours.png").stat().st_size > 5000
    assert texts[0] == texts[1]
    assert "| New | 51.0 +- 0.5 | 51.1 +- 1.0 | 3 |" in text
    assert "New one" in text
    assert "| Old | 40.0 |  |  |  | as quoted |" in text
    assert "u is left out: its files are missing" in told
    assert "not run" in text
    assert "-8.6: more than the spread, reason not found" in text


def test_what_is_in_the_ledger_is_not_run_again(tmp_path):
    there = "--runs", "2", "--figures", str(tmp_path)
    run(*there, "--only", "on a")
    before = (tmp_path / "ledger.jsonl").read_text()
    run(*there)
    after = (tmp_path / "ledger.jsonl").read_text()
    assert after.startswith(before)
    assert len(ledger.read(tmp_path / "ledger.jsonl")) == 8
    run(*there)
    assert (tmp_path / "ledger.jsonl").read_text() == after


def test_killed_at_any_moment_it_goes_on(tmp_path):
    command = program("graph", "--runs", "4", "--workers", "1", "--figures", str(tmp_path))
    book = tmp_path / "ledger.jsonl"
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(ledger.read(book)) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = ledger.read(book)
    assert 3 <= len(done) < 16
    assert subprocess.run(command, capture_output=True, timeout=240).returncode == 0
    assert len(ledger.read(book)) == 16
    assert done.items() <= ledger.read(book).items()
    assert len(book.read_text().splitlines()) == 32


def test_the_papers_values_are_those_of_the_deck():
    assert graph.FIG9.paper["GAT"] == dict(cora="83.0 +- 0.7", citeseer="72.5 +- 0.7", pubmed="79.0 +- 0.3")
    for table in graph.TABLES:
        for row in table.paper.values():
            assert all(report.stated(value) for value in row.values())
        assert table.run.keys() <= table.paper.keys()


def test_what_can_not_be_done_is_told_in_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    assert command.main(["graph", "--runs", "-1", "--figures", str(tmp_path)]) == 2
    assert "--runs -1" in capsys.readouterr().err
