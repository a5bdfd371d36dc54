"""`python -m tinynet new-block NAME --topic TOPIC`: the skeletons of a block, in all the places where it lives.

They fail until they are filled: the block and its recipe raise NotImplementedError, the case asks for a gradient
check, the planted mistake isn't caught, and the equation has no line.
"""

import keyword
import re
from pathlib import Path

TOPICS = ("units", "losses", "images", "sequences", "graphs", "tasks")

BLOCK = '''"""TITLE: what it does, in one sentence.

    (1)  y = ...                      DECK ITEM, or the paper
    (2)  dx = ...

x, y (N, D)   what they are
N examples, D features
Source: authors, year, where.
"""

from tinynet.engine import Op
from tinynet.shapes import sizes


# %% 1. The mathematics
def NAME_forward(x):
    sizes("x: N D", x)
    raise NotImplementedError("NAME_forward: write (1), and end its line with the tag")


def NAME_backward(dy, cache):
    raise NotImplementedError("NAME_backward: write (2), and end its line with the tag")


# %% 2. The fast twin: none yet; measure first whether one pays

# %% 3. The op
NAME = Op(NAME_forward, NAME_backward)

# %% 4. The module: none yet
'''
CASE = '''

plain("NAME", _NAME.NAME, "N D")
'''
RECIPE = '''def NAME(valve, x):
    raise NotImplementedError("NAME: the forward once more, in ops on tensors, with a valve at each path back")


'''
MUTANT = '''"""Wrong backwards of NAME."""

from tinynet.blocks.TOPIC.NAME import NAME_backward

from ..registry import mutant


@mutant("NAME", "sign")
def turned_round(dy, cache):
    return -NAME_backward(dy, cache)
'''
TEST = '''"""NAME: what is special about it; the battery checks its gradients."""

import numpy as np

from tinynet.blocks.TOPIC.NAME import NAME_forward


def test_by_hand():
    """DECK ITEM: a small input whose result was worked out by hand."""
    y, _ = NAME_forward(np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(y, np.nan)       # put the right numbers here
'''


def new_block(name, topic, root):
    """Write the skeletons below `root`, the checkout; returns the paths.

    Raises ValueError for a name that can't be used, a topic that isn't one, a folder that is no checkout, and a block
    that is there already; nothing is written then.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"new-block: {name!r} is no name for a block; write it like cross_stitch")
    if topic not in TOPICS:
        raise ValueError(f"new-block: there is no topic {topic!r}; choose one of {', '.join(TOPICS)}")
    root = Path(root)
    if not (root / "tests" / "mutants").is_dir():
        raise ValueError(f"new-block: {root} is no checkout of tinynet; run it in the folder that holds tinynet/ "
                         "and tests/")
    if found := [*(root / "tinynet").rglob(f"{name}.py"), *(root / "tinynet" / "blocks").glob(f"*/{name}")]:
        raise ValueError(f"new-block: {found[0].relative_to(root)} is there already, and file names are unique in "
                         "the house")
    cases, recipes = root / f"tinynet/cases/{topic}.py", root / f"tinynet/check/recipes/{topic}.py"
    texts = {root / f"tinynet/blocks/{topic}/{name}.py": _filled(BLOCK, name, topic),
             cases: _with_case(cases.read_text(encoding="utf-8"), name, topic),
             recipes: _with_recipe(recipes.read_text(encoding="utf-8"), name),
             root / f"tests/mutants/{topic}/{name}.py": _filled(MUTANT, name, topic),
             root / f"tests/blocks/{topic}/test_{name}.py": _filled(TEST, name, topic)}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _filled(text, name, topic):
    title = name.replace("_", " ").capitalize()
    return text.replace("NAME", name).replace("TOPIC", topic).replace("TITLE", title)


def _with_case(text, name, topic):
    """The cases with one more, and its import before the first that comes behind it in the alphabet."""
    line = f"from tinynet.blocks.{topic} import {name} as _{name}\n"
    behind = re.search(r"^from tinynet\.(?!blocks\.)|^from tinynet\.blocks\.(?!.*\n)", text, re.M)
    after = [m.start() for m in re.finditer(r"^from tinynet\.blocks\..*\n", text, re.M) if m[0] > line]
    place = after[0] if after else behind.start()
    return text[:place] + line + text[place:].rstrip() + "\n" + _filled(CASE, name, topic).rstrip() + "\n"


def _with_recipe(text, name):
    """The recipes with one more, which RECIPES names last."""
    start = text.index("RECIPES = (")
    names = re.sub(r",?\s*\)", f", {name})", text[start:], count=1).replace("(, ", "(")
    return text[:start] + _filled(RECIPE, name, "") + names
