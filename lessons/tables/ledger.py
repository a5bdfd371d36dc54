"""The ledger of a table's runs, ledger/TABLE.jsonl: one JSON object a line, appended whole.

No run is lost or counted twice.

    {"table": "shi fig9", "system": "GAT", "dataset": "cora", "seed": 3, "metric": "test accuracy", "value": 83.1,
     "seconds": 17.2, "version": "0.2.0"}

A run that measures several things writes its lines in one piece, the one that the table reports last: what a full disk
may leave behind is a torn line, which is passed over, of a run that doesn't count yet.
"""

import json
import os
from typing import NamedTuple

import tinynet

KEYS = {"table": str, "system": str, "dataset": str, "seed": int, "metric": str, "value": (float, list),
        "seconds": float, "version": str}


class Cell(NamedTuple):
    """One run: what the ledger knows it by."""

    table: str
    system: str
    dataset: str
    seed: int

    def __str__(self):
        return f"{self.table}: {self.system} on {self.dataset}, seed {self.seed}"


def read_all(tables, folder):
    """The runs of several tables together."""
    return {cell: measured for table in tables for cell, measured in read(path_of(table, folder)).items()}


def path_of(table, folder):
    """Where the runs of a table stand."""
    return folder / "ledger" / f"{table.slug}.jsonl"


def read(path):
    """{Cell: {metric: (value, seconds)}}; of lines about the same thing the first counts."""
    runs = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        row = _row(line)
        if row:
            measured = runs.setdefault(Cell(*(row[key] for key in Cell._fields)), {})
            measured.setdefault(row["metric"], (row["value"], row["seconds"]))
    return runs


def _row(line):
    try:
        row = json.loads(line)
        return row if all(isinstance(row[key], kind) for key, kind in KEYS.items()) else None
    except (ValueError, TypeError, KeyError):
        return None


def _rounded(value):
    """A number, or the points of a curve."""
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else round(float(value), 4)


def append(path, cell, measured, seconds):
    """Add a line for each metric of a run, in one write that is on the disk when this returns."""
    rows = [cell._asdict() | {"metric": metric, "value": _rounded(value), "seconds": round(float(seconds), 2),
                              "version": tinynet.__version__} for metric, value in measured.items()]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        rest = (("\n" if torn else "") + text).encode()
        while rest:
            rest = rest[os.write(handle, rest):]
        os.fsync(handle)
    finally:
        os.close(handle)
