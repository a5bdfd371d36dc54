"""`python -m tinynet exercise`: stubs and sheets as files for students, and which sheet a grader marks by."""

from pathlib import Path

from tinynet import cases
from tinynet.exercises import sheets, stubs, variants
from tinynet.exercises.submission import Submission


def listing():
    """The decks with their exercises, then all other blocks."""
    lines, listed = [], set()
    for deck in sheets.DECKS:
        sheet = sheets.of_deck(deck)
        lines.append(f"{deck}: {sheet.title} ({sheet.points:g} points)")
        for e in sheet.exercises:
            lines.append(f"    {e.name:<24}{e.points:>4g} points   {', '.join(e.slides)}")
            listed.add(e.name)
    others = [name for name in sheets.blocks() if name not in listed]
    return "\n".join([*lines, f"not on these slides: {', '.join(others)}"] if others else lines)


def write(name, deck, parts, student, secret, folder):
    """Write one stub, or a sheet; returns the paths.  Raises NoSheet, and ValueError rather than overwrite a file."""
    folder = Path(folder)
    if deck:
        return _sheet(sheets.find(deck), parts, student, secret, folder)
    exercise = changed(sheets.exercise(name), parts, student, secret)
    return _written({folder / f"{exercise.function}.py": stubs.stub(exercise)})


def changed(exercise, parts, student, secret):
    """The exercise with other parts, or as the variant of a student.  Raises NoSheet."""
    if student:
        if parts not in (None, "both"):
            raise sheets.NoSheet("a variant asks for both functions; leave --parts out")
        return variants.of_student(exercise, secret, student)
    return sheets.exercise(exercise.name, parts, exercise.slides) if parts else exercise


def _sheet(sheet, parts, student, secret, folder):
    """A stub for each exercise, numbered in the order of the slides, sheet.json and a page for the student."""
    sheet = sheet._replace(exercises=[changed(e, parts, student, secret) for e in sheet.exercises])
    names = [f"{number}_{e.function}.py" for number, e in enumerate(sheet.exercises, 1)]
    files = {folder / file: stubs.stub(e, sheet, number)
             for number, (file, e) in enumerate(zip(names, sheet.exercises, strict=True), 1)}
    files[folder / "sheet.json"] = sheets.as_json(sheet)
    files[folder / "SHEET.md"] = _page(sheet, names)
    return _written(files)


def _page(sheet, names):
    rows = [f"| {number} | [{e.function}]({file}) | {', '.join(e.slides)} | {_todo(e)} | {e.points:g} |"
            for number, (file, e) in enumerate(zip(names, sheet.exercises, strict=True), 1)]
    return f"""# {sheet.title}: exercises ({sheet.points:g} points)

| | exercise | slides ({sheet.name}) | write | points |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

Write the functions of each file with NumPy alone. Keep their names and arguments.

    python -m tinynet {f"check {names[0]}":<30}right or wrong, and why
    python -m tinynet {"grade . --sheet sheet.json":<30}points, and what comes next

A gradient is right when it differs from ours by at most 1e-9 of its largest entry, in any algebraic form.
Each gradient counts: 1/4 for its shape, 1/2 for its values, 1/4 for its values when `dy` lies in memory in another way.
The first case, the slide's, counts as much as all the others together. The marks are given with other inputs.
"""


def _todo(exercise):
    return {"both": "forward and backward"}.get(exercise.parts, exercise.parts)


def _written(files):
    there = [path for path in files if path.exists()]
    if there:
        raise FileExistsError(f"{there[0]} is there already and may hold your work; give another folder with --out")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


# %% For the grader
def sheet_for(name, submissions):
    """The Sheet with this name; a sheet of one block; or, without a name, of all blocks that are handed in.

    Raises NoSheet.
    """
    if name and name not in cases.op_names():
        return sheets.find(name)
    if name:
        return sheets.Sheet(name, name, [sheets.exercise(name)])
    defined = {d for path in submissions for source in Submission(path).sources for d in source.defined}
    found = [e for e in sheets.blocks() if f"{e}_backward" in defined or f"{e}_forward" in defined]
    if not found:
        raise sheets.NoSheet("there is nothing to grade: no submission defines X_forward or X_backward of a block; "
                             f"the blocks are {', '.join(sheets.blocks())}")
    return sheets.Sheet("practice", "practice", [sheets.exercise(e) for e in found])
