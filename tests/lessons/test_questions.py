"""Every lesson ends with five questions, each with a folded answer and a line that gives what the answer says."""

import ast
import re

import numpy as np
import pytest

from lessons.tools.catalogue import catalogue

HEADING = "## Five questions: predict, then run\n"
QUESTION = re.compile(r"""
\*\*(?P<number>\d)\.\*\*\ (?P<question>.+?)\n
\n<details><summary>Answer</summary>\n
\n(?P<answer>.+?)\n
\n```python\n(?P<code>.+?)```\n
\n</details>\n""", re.DOTALL | re.VERBOSE)


def last_cell(entry):
    """(its head, its text without the comment signs)"""
    head, _, text = entry.path.read_text(encoding="utf-8").rpartition("# %%")[2].partition("\n")
    return head, re.sub(r"^# ?", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_a_lesson_ends_with_five_questions_and_their_answers(entry):
    head, text = last_cell(entry)
    assert head == " [markdown]"
    assert text.startswith(HEADING)
    found = list(QUESTION.finditer(text))
    assert [q["number"] for q in found] == list("12345")
    assert all("?" in q["question"] for q in found)
    setup = re.fullmatch(r"\n```python\n(.*?)```\n\n", text[len(HEADING):found[0].start()], re.DOTALL)[1]
    left = QUESTION.sub("", text[found[0].start():])
    assert not left.strip(), f"all five have one shape, but this is left over: {left}"
    space = {}
    exec(setup, space)
    for question in found:
        given, said = answered(question["code"], space)
        np.testing.assert_allclose(given, said, rtol=0.03, atol=1e-15, err_msg=question["code"])


def answered(code, space):
    """What the last line gives, and what stands behind its arrow."""
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), "question", "exec"), space)
    values = [np.asarray(eval(text, space), float) for text in (ast.unparse(last), code.rpartition("# -> ")[2])]
    return values


def test_a_wrong_answer_is_noticed():
    given, said = answered("x = 2\nx + 1      # -> 4", {})
    assert (given, said) == (3, 4)
