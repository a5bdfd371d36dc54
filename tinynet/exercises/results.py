"""What becomes of the points: text for the student, tables for the class, Gradescope's results.json, JUnit XML."""

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

import tinynet
from tinynet.exercises.words import unlocked
from tinynet.whole_file import whole_file

BAR = 24            # characters


# %% For the student
def bar(result):
    """[############------------] 12 of 24 parts are right; next: softmax, dx (case softmax, values)."""
    right = sum(p.right for p in result.parts)
    filled = round(BAR * right / max(len(result.parts), 1))
    first = next((p for p in result.parts if not p.right), None)
    after = f"; next: {first.exercise}, {_what(first)}" if first else "; all is right"
    return f"[{'#' * filled}{'-' * (BAR - filled)}] {right} of {len(result.parts)} parts are right{after}"


def _what(part):
    name = "" if part.name == "all" else f"{part.name} "
    return f"{name}({'' if part.name == 'all' else f'case {part.case}, '}{part.what})"


def report(result, hints=2):
    """The text for one student: points and hints of every exercise, and what comes next."""
    lines = [f"{result.student}: {_number(result.points)} of {_number(result.of)} points", bar(result) if hints else ""]
    for name, parts in result.exercises():
        points, of = sum(p.points for p in parts), sum(p.of for p in parts)
        state = "right" if all(p.right for p in parts) else "wrong"
        lines.append(f"  {name:<24}{_number(points):>6} of {_number(of):<6}{state}")
        if hints:
            lines += [f"      {line}" for line in lost(parts)]
        lines += [f"      {line}" for line in result.hints.get(name, "").splitlines()]
    lines += [f"  {note}" for note in result.notes]
    if result.not_locked:
        lines.append(f"  {unlocked(result.not_locked)}")
    if result.seeds == "practice" and hints:
        lines.append("  (practice: the marks are given with other inputs)")
    return "\n".join(filter(None, lines))


def lost(parts):
    """["dW: wrong (values; cases linear, linear_batch)", ...]: what is not right, grouped by its reason."""
    reasons = {}
    for p in parts:
        if not p.right:
            why = "wrong" if re.fullmatch(r"wrong in \d+ of \d+ draws", p.message) else p.message
            reasons.setdefault(why, []).append(p)
    if len(reasons) == 1 and len(next(iter(reasons.values()))) == len(parts):
        return list(reasons)
    return [f"{_those(group, parts)}: {why}" for why, group in reasons.items()]


def _those(group, parts):
    """dx, dW (values) in linear_batch: the parts of a group in few words."""
    names = list(dict.fromkeys(p.name for p in group if p.name != "all"))
    what, found = (list(dict.fromkeys(getattr(p, key) for p in group)) for key in ("what", "case"))
    if not names:
        return ", ".join(what)
    everywhere = len(found) == len({p.case for p in parts})
    return f"{', '.join(names)} ({', '.join(what)})" + ("" if everywhere else f" in {', '.join(found)}")


def _number(points):
    return f"{round(points, 2):g}"


# %% For the class
def class_table(results):
    """[[student, points of each exercise, points, of, ...], ...] with a head."""
    names = [name for name, _ in results[0].exercises()] if results else []
    head = ["student", *names, "points", "of", "notes", "look at", "not locked", "seconds", "sha256", "seeds"]
    rows = [[r.student, *(round(sum(p.points for p in parts), 2) for _, parts in r.exercises()), round(r.points, 2),
             round(r.of, 2), "; ".join(r.notes), "; ".join(r.look_at), "; ".join(r.not_locked), round(r.seconds, 1),
             r.hash, r.seeds] for r in results]
    return [head, *rows]


def parts_table(results):
    """One row for each part of each student."""
    head = ["student", "exercise", "case", "part", "what", "points", "of", "message", "sha256", "seeds", "tinynet",
            "numpy"]
    rows = [[r.student, p.exercise, p.case, p.name, p.what, round(p.points, 4), round(p.of, 4), p.message, r.hash,
             r.seeds, tinynet.__version__, np.__version__] for r in results for p in r.parts]
    return [head, *rows]


def write_csv(path, table):
    """A spreadsheet runs cells that begin with = + - @: those get a quotation mark in front."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[_harmless(cell) for cell in row] for row in table])


def _harmless(cell):
    text = clean(str(cell))
    return f"'{text}" if isinstance(cell, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def clean(text):
    """Without the control characters that XML and terminals don't take."""
    return re.sub(r"[^\t\n\r\x20-\x7E\xA0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "?", text)


# %% For other programs
def gradescope(result, hints=2, visibility="visible"):
    """Gradescope's results.json as a dictionary: one test for each exercise, all text as plain text."""
    tests = []
    for number, (name, parts) in enumerate(result.exercises(), 1):
        right = all(p.right for p in parts)
        output = [*(lost(parts) if hints else []), *result.hints.get(name, "").splitlines()]
        tests.append(dict(name=name, number=str(number), score=round(sum(p.points for p in parts), 4),
                          max_score=round(sum(p.of for p in parts), 4), status="passed" if right else "failed",
                          output=clean("\n".join(output) or ("right" if right else "wrong")), output_format="text",
                          name_format="text", visibility=visibility))
    output = "\n".join([bar(result) if hints else "", *result.notes]).strip()
    extra = dict(sha256=result.hash, seeds=result.seeds, not_locked=result.not_locked, look_at=result.look_at,
                 tinynet=tinynet.__version__, numpy=np.__version__)
    return dict(score=round(result.points, 4), output=clean(output), output_format="text", visibility=visibility,
                stdout_visibility="hidden", execution_time=round(result.seconds, 2), tests=tests, extra_data=extra)


def write_json(path, tree):
    """Write the whole file, or leave the earlier one."""
    text = json.dumps(tree, indent=1, allow_nan=False)
    with whole_file(path) as file:
        file.write(text.encode())


def junit(results):
    """JUnit's XML as bytes: a suite for each student, a test case for each part; points stand in its properties."""
    root = ElementTree.Element("testsuites", name="tinynet")
    for r in results:
        failures = sum(not p.right for p in r.parts)
        suite = ElementTree.SubElement(root, "testsuite", name=clean(r.student), tests=str(len(r.parts)), errors="0",
                                       failures=str(failures), skipped="0", time=f"{r.seconds:.2f}")
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("points", r.points), ("of", r.of)):
            ElementTree.SubElement(properties, "property", name=name, value=_number(value))
        for p in r.parts:
            case = ElementTree.SubElement(suite, "testcase", classname=p.exercise, name=f"{p.case}: {p.name} {p.what}",
                                          time="0")
            if not p.right:
                ElementTree.SubElement(case, "failure", type=p.what, message=clean(p.message))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def write_all(folder, results, hints=2):
    """class.csv, parts.csv, junit.xml, and for each student a report and a results.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "class.csv", class_table(results))
    write_csv(folder / "parts.csv", parts_table(results))
    (folder / "junit.xml").write_bytes(junit(results))
    for r in results:
        own = folder / re.sub(r"[^\w.-]", "_", r.student).strip(".")
        own.mkdir(exist_ok=True)
        (own / "report.txt").write_text(clean(report(r, hints)) + "\n", encoding="utf-8")
        write_json(own / "results.json", gradescope(r, hints))
