"""A small site, built once for the tests of its pages and for those in a browser."""

from argparse import Namespace
from html.parser import HTMLParser

import pytest

from lessons.tools.catalogue import catalogue

LESSON = '''# %% [markdown]
# # A lesson

# %% [markdown]
"""Is {topic} {topic}?

Slides: saha apl
Blocks: cross_stitch
Run time: 1 s, --quick 1 s
Figures: saha_apl_{topic}.png

More about it.
"""

# %%
from tinynet.lesson import lesson

# %% [markdown]
# ## saha apl: what is shown, see erratum 5
# $$h(x) = \\max(0, x)$$

# %%
{body}

# %% [markdown]
# <details>
# <summary>What is $x$?</summary>
#
# The input $x_1$.
#
# ```python
# x = 1      # -> 1
# ```
#
# </details>
'''
FIGURE = '''from tinynet import plot
inside = "a name that the build uses, too"
fig, ax = plot.subplots()
plot.curves(ax, [0, 1], {"plain": [0, 1], "$x^2$": [0, 2]})
ax.set(xlabel="step $t$", ylabel="loss", title="A panel")
lesson.save(fig, "saha_apl_good")
lesson.number("a half", 0.5, 0.25, "saha")
print("\\n".join(map(str, range(40))))'''


def settings_for(folder, **others):
    return Namespace(**dict(site=folder, quick=True, seed=0, data=None) | others)


@pytest.fixture
def settings():
    """settings(folder, quick=False) -> what the command line asks for."""
    return settings_for


@pytest.fixture
def made_up(tmp_path):
    """made_up({"good": body}) -> the entries of made-up lessons in tmp_path/lessons."""
    return lambda bodies: written(tmp_path, bodies)


def written(folder, bodies):
    (folder / "lessons" / "saha").mkdir(parents=True, exist_ok=True)
    for n, (topic, body) in enumerate(bodies.items()):
        text = LESSON.replace("{topic}", topic).replace("{body}", body)
        (folder / "lessons" / "saha" / f"{n:02d}_{topic}.py").write_text(text)
    return catalogue(folder / "lessons")


class Page(HTMLParser):
    """A page's elements: [(tag, {attribute: value})], and its ids."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)
        self.ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def all(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """(folder, {page's name: (text, Page)}, what was told, exit code) of a site with two lessons of three, one of which
    fails, the deck saha and its blocks, of which cross_stitch has its mistakes.
    """
    for needed in ("jinja2", "jupytext", "latex2mathml", "markdown_it", "mdit_py_plugins", "nbclient", "ziamath"):
        pytest.importorskip(needed, reason='needs  pip install -e ".[site]"')
    from lessons.site import build, planted

    home, told, judge = tmp_path_factory.mktemp("tree"), [], planted.by_block
    entries = written(home, {"good": FIGURE, "bad": "1 / 0", "not_asked_for": ""})
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(planted, "by_block", lambda folder, wanted: {name: [] for name in wanted} | judge(
            folder, ["cross_stitch"]))
        code = build.build(entries[:2], settings_for(home / "site"), home / "lessons", told.append)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (home / "site").glob("*.html")}
    return home / "site", {name: (text, Page(text)) for name, text in pages.items()}, told, code
