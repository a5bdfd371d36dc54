"""The offline site: formulas, lessons executed once, pages that say what the sources say, figures that compute it."""

import json
import re
import shutil
import subprocess
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lessons.tools import slides
from lessons.tools.catalogue import FOLDER, catalogue

for needed in ("jinja2", "jupytext", "latex2mathml", "markdown_it", "mdit_py_plugins", "nbclient", "ziamath"):
    pytest.importorskip(needed, reason='needs  pip install -e ".[site]"')

from lessons.site import (  # noqa: E402  skipped without them
    build,
    inside,
    listing,
    mathematics,
    notebooks,
    planted,
    play,
    prose,
    reading,
)

BLOCKS = {block.name: block for block in slides.blocks()}
# %% Formulas
def formulas(entry):
    cells = (cell.source for cell in notebooks.notebook(entry).cells if cell.cell_type == "markdown")
    tokens = [t for cell in cells for token in prose.READER.parse(cell) for t in [token, *(token.children or ())]]
    return [(t.content, t.type != "math_inline") for t in tokens if t.type.startswith("math")]


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_every_formula_of_a_lesson_can_be_set(entry):
    for tex, display in formulas(entry):
        assert "<mrow>" in mathematics.mathml(tex, display)


def test_what_is_not_known_is_never_set_but_shown_as_it_is_typed():
    with pytest.raises(mathematics.BadFormula, match=r"'x \\\\nowhere y'.*nowhere"):
        mathematics.mathml(r"x \nowhere y")
    assert mathematics.inline(r"x \nowhere < y") == r'<code class="tex">x \nowhere &lt; y</code>'


@pytest.mark.parametrize(("tex", "part"), [
    (r"2\log p", '<mn>2</mn><mspace width="0.17em" /><mi>log</mi><mspace width="0.17em" /><mi>p</mi>'),
    (r"\log(p)", '<mi>log</mi><mo stretchy="false">('),
    (r"\mathrm{relu}(x)", "<mi>relu</mi>"),
    (r"a = -1", '<mo form="prefix">\u2212</mo>'),
    (r"\big\| x \big\|", "\u2016"),
    (r"\max_k x", "<munder><mi>max</mi><mi>k</mi></munder>"),
    (r"1 + \Big(x\Big)^2", "<msup><mrow><mo"),
])
def test_functions_signs_and_brackets_are_set_as_a_reader_expects(tex, part):
    assert part in mathematics.mathml(tex, True)


@pytest.mark.parametrize(("text", "shown"), [
    ("y = max(0,x) + sum_s a_s max(0, -x + b_s)",
     'y = max(0,x) + <span class="big">∑</span><sub>s</sub> a<sub>s</sub> max(0, -x + b<sub>s</sub>)'),
    ("x_{l+1} <= dalpha[i,j]^2", "x<sub>l+1</sub> ≤ dα[i,j]<sup>2</sup>"),
    ("e^min(0, x)", "e^min(0, x)"),
    ("as in activation_distance", "as in activation_distance"),
    ("sum of dY[t] Z'", "sum of dY[t] Z'"),
    ("1[x < b_s]", "1[x &lt; b<sub>s</sub>]"),
])
def test_equations_of_docstrings_change_signs_and_never_places(text, shown):
    assert prose.equation(text) == shown


def test_the_font_has_the_letters_the_root_and_stretching_brackets(tmp_path):
    from fontTools.ttLib import TTFont

    (tmp_path / "font.woff").write_bytes(mathematics.font({ord("∑")}))
    font = TTFont(tmp_path / "font.woff")
    assert {0x1d465, 0x221a, ord("("), ord("∑")} <= font.getBestCmap().keys()
    assert font["MATH"].table.MathVariants.VertGlyphConstruction
    assert len((tmp_path / "font.woff").read_bytes()) < 300_000


# %% Code
def test_the_lines_of_a_block_carry_the_equations_of_their_tags():
    for block in BLOCKS.values():
        if block.equations:
            told = {(number, path, line) for number, places in block.tags.items() for path, line, _ in places}
            parts = listing.sections(block)
            lines = [line for part in parts.values() for _, of in part for line in of]
            assert {(n, line.path, line.number) for line in lines for n in line.equations} == told, block.name


def tag_of(lines):
    return text_of(lines).split()[-1]


def text_of(lines):
    return " ".join(re.sub(r"<[^>]*>", "", line.markup).strip() for line in lines)


def test_each_line_of_a_backward_stands_beside_the_forward_line_that_it_undoes():
    (_, rows, further), = listing.pairs(BLOCKS["attention"])
    undone = [(tag_of(forward), [tag_of(back) for back in backs]) for forward, backs in rows]
    assert undone == [("(4)", ["(5)", "(6)"]), ("(3)", ["(8)"]), ("(1)", ["(9)", "(10)"])]
    assert [tag_of(lines) for lines in further] == ["(7)"]
    (_, rows, further), = listing.pairs(BLOCKS["cross_stitch"])
    assert [[tag_of(back) for back in backs] for _, backs in rows] == [["(2)", "(3)"]]


def test_what_names_cannot_part_stands_together_and_no_pair_is_left_out():
    (name, ((forward, backs),), further), *_ = listing.pairs(BLOCKS["trace_norm"])
    assert (name, [tag_of([line]) for line in forward], tag_of(backs[0]), further) == (
        "trace_norm", ["(1)", "(2)"], "(3)", [])
    for block in BLOCKS.values():
        shown = {name for name, *_ in listing.pairs(block)}
        plain = {line for _, lines in listing.sections(block)["plain"] for line in lines if line.equations}
        there = {line.function for line in plain} - {"_forward"}        # what twins share is in their pairs
        assert {f.removesuffix("_forward") for f in there if f.endswith("_forward")
                and f.replace("_forward", "_backward") in there} <= shown, block.name


def test_no_tagged_line_of_a_plain_backward_is_lost():
    for block in BLOCKS.values():
        for name, rows, further in listing.pairs(block):
            shown = {line.number for _, backs in rows for lines in backs for line in lines}
            shown |= {line.number for lines in further for line in lines}
            plain = [line for _, lines in listing.sections(block)["plain"] for line in lines]
            own = {line.number for line in plain if line.function == f"{name}_backward" and line.equations}
            assert own <= shown, (block.name, name)


# %% Lessons
def test_the_sections_about_an_item_have_it_in_the_heading_or_draw_it_and_else_in_the_text():
    from nbformat import v4

    cited = frozenset(slides.cited("saha chain, apl, erratum 5"))
    figure = v4.new_output("display_data", {"image/png": ""}, metadata={"image/png": {"name": "saha_apl_x.png"}})
    made = [reading.Section(heading, [v4.new_markdown_cell(text), v4.new_code_cell(outputs=outputs)], cited)
            for heading, text, outputs in (
                ("A long chain of ops", "", []), ("saha chain: two units", "", []), ("chain: alone", "", []),
                ("Any curve", "", [figure]), ("APL units", "", []), ("What is left", "saha apl, and erratum 5", []))]

    def about(item):
        return [s.heading for s in reading.about(made, ("saha", item))]
    assert about("chain") == ["saha chain: two units"]
    assert about("apl") == ["Any curve", "APL units"]
    assert about("erratum 5") == ["What is left"]
    assert about("lp") == []


def test_every_item_that_lessons_cite_is_told_by_a_section_of_one_of_them():
    told, cited = set(), set()
    for entry in catalogue():
        own = set(slides.cited(entry.slides))
        cited |= own
        told |= {key for s in reading.sections(notebooks.notebook(entry), own) for key in s.in_heading | s.in_text}
    assert cited - told == set()


def test_notebooks_are_written_alone_and_hold_the_lesson(made_up, tmp_path):
    import nbformat

    path, = notebooks.write_notebooks(made_up({"good": "1 / 0"}), tmp_path / "made")
    assert path == tmp_path / "made" / "saha" / "00_good.ipynb"
    read = nbformat.read(path, as_version=4)
    nbformat.validate(read)
    assert [cell.source for cell in read.cells if cell.cell_type == "code"] == [
        "from tinynet.lesson import lesson", "1 / 0"]
    assert "outputs" not in read.cells[2] or not read.cells[2].outputs


def test_a_lesson_is_executed_again_only_when_it_changes_or_what_it_loaded(made_up, settings, tmp_path, monkeypatch):
    ran, own = [], tmp_path / "tree"
    (own / "tinynet").mkdir(parents=True)
    (own / "lessons").mkdir()
    (own / "tinynet" / "op.py").write_text("1")
    monkeypatch.setattr(notebooks.key_of, "__defaults__", (own,))

    def execute(made, asked, name):
        ran.append(name)
        made.metadata["loaded"] = ["tinynet/op.py", "lessons/recipes.py"]
        return made
    monkeypatch.setattr(notebooks, "execute", execute)
    entry, = made_up({"good": "1"})

    def run(**others):
        notebooks._contents.cache_clear()
        notebooks.executed(entry, settings(tmp_path / "site", **others), tmp_path / "kept", lambda told: None)
        return len(ran)
    assert [run(), run(), run(seed=1), run(seed=1), run(quick=False)] == [1, 1, 2, 2, 3]
    entry.path.write_text(entry.path.read_text() + "\n# %%\n2\n")
    assert [run(quick=False), run(quick=False)] == [4, 4]
    (own / "tinynet" / "another.py").write_text("not loaded")
    assert run(quick=False) == 4
    (own / "tinynet" / "op.py").write_text("2")
    assert [run(quick=False), run(quick=False)] == [5, 5]
    (own / "lessons" / "recipes.py").write_text("new")
    assert run(quick=False) == 6


def test_lessons_run_from_any_folder_and_two_at_once_do_not_hear_each_other(made_up, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = "import time\ntime.sleep(1)\nprint('{topic}')"
    entries = made_up({"one": body.replace("{topic}", "one"), "two": body.replace("{topic}", "two")})
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda e: notebooks.execute(notebooks.notebook(e), settings(tmp_path), e.name), entries)
        told = [[o.text for cell in whole.cells for o in cell.get("outputs", ())] for whole in made]
    assert told == [["one\n"], ["two\n"]]
    assert [path.name for path in tmp_path.iterdir()] == ["lessons"]


def test_an_interrupted_build_goes_on_where_it_was(made_up, settings, tmp_path, monkeypatch):
    entries, ran = made_up({"one": "1", "two": "2"}), []

    def stopped_at_two(made, asked, name):
        ran.append(name)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return made
    monkeypatch.setattr(notebooks, "execute", stopped_at_two)
    monkeypatch.setattr(build, "Site", lambda *_: Namespace(write=lambda: None, pages={}))
    assert build.build(entries, settings(tmp_path / "site"), tmp_path / "lessons", lambda told: None) == 130
    assert build.build(entries, settings(tmp_path / "site"), tmp_path / "lessons", lambda told: None) == 0
    assert ran == ["saha/00_one", "saha/01_two", "saha/01_two"]


# %% The pages of one small site
def test_a_lesson_that_fails_is_told_on_its_page_and_the_others_are_there(site):
    _, pages, told, code = site
    assert code == 1
    assert any("saha/01_bad FAILED: ZeroDivisionError: division by zero" in line for line in told)
    assert "This lesson failed" in pages["lesson-bad"][0]
    assert "This lesson failed" not in pages["lesson-good"][0]


def test_a_figure_comes_with_its_words_a_long_output_is_folded_and_an_answer_opens(site):
    folder, pages, _, _ = site
    text, page = pages["lesson-good"]
    picture, = page.all("img")
    assert picture["src"] == "figures/saha_apl_good.png"
    assert picture["alt"] == "A panel; loss over step t; lines: plain, x^2"
    assert (folder / picture["src"]).read_bytes().startswith(b"\x89PNG")
    assert "<summary>40 lines of output</summary>" in text
    assert '<tr><th scope="row">a half</th><td>0.5</td><td>saha: 0.25</td></tr>' in text
    assert re.search(r"<summary>What is <math .*?</math>\?</summary>", text)
    assert re.search(r'The input <math .*?</math>\.</p>\s*<pre class="code" tabindex="0"><code><span class="n">x', text)
    assert "More about it." in text
    assert "Run time:" not in text
    kept = json.loads((folder / "notebooks" / "saha" / "00_good.ipynb").read_text(encoding="utf-8"))
    assert {"tinynet/lesson.py", "tinynet/plot.py", "lessons/site/inside.py"} <= set(kept["metadata"]["loaded"])


def test_every_link_leads_to_a_page_and_a_place_that_are_there(site):
    folder, pages, _, _ = site
    for name, (_, page) in pages.items():
        for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
            for target in (a[attribute] for a in page.all(tag) if attribute in a):
                where, _, place = target.partition("#")
                if target == "data:,":
                    continue
                assert where == "" or (folder / where).is_file(), (name, target)
                if place:
                    assert place in pages[Path(where).stem if where else name][1].ids, (name, target)


def test_nothing_points_out_of_the_folder(site):
    folder, pages, _, _ = site
    for name, (text, page) in pages.items():
        for _, attributes in page.elements:
            assert not re.match(r"(?:https?:)?//", attributes.get("href", "") + attributes.get("src", "")), name
        assert "@import" not in text
    asks = r"\burl\([\"'](?!mathematics)|fetch\(|XMLHttpRequest|import\("
    for path in (folder / "assets").glob("*.*s"):
        assert not re.search(asks, path.read_text(encoding="utf-8")), path.name


def test_ids_are_unique_and_pictures_have_words(site):
    for name, (_, page) in site[1].items():
        assert len(page.ids) == len(set(page.ids)), (name, sorted(i for i in page.ids if page.ids.count(i) > 1))
        assert all(picture["alt"] for picture in page.all("img"))


def test_a_deck_has_its_items_in_the_order_of_the_slides_and_says_what_is_owed(site):
    text, page = site[1]["deck-saha"]
    items = [a["data-item"] for a in page.all("section") if "data-item" in a]
    assert items == [f"saha {item}" for item in slides.ITEMS["saha"]]
    owed = re.findall(r'data-item="saha ([^"]*)">\s*<h2>.*?</h2>\s*<p class="owed"><strong>Owed', text)
    index = slides.index(folder=site[0].parent / "lessons")
    saha = index[index.index("### saha"):index.index("### csc321")]
    there = {item for e in slides.recipes() for deck, item in slides.cited(e.slides) if deck == "saha"}
    assert owed == [item for item in slides.ITEMS["saha"] if f"| {item} | **owed**" in saha and item not in there]
    assert 0 < len(owed) < len(items)


def test_the_marked_lines_of_an_item_are_those_of_its_equation(site):
    text = site[1]["deck-saha"][0]
    compared = 0
    for part in text.split('class="block-lines"')[1:]:
        name, number = re.search(r'href="block-(\w+)\.html#eq-(\d+)"', part).groups()
        part = part[:part.find('<dl class="facts">')]
        marked = {int(n) for n in re.findall(r'class="line here"[^>]*><span class="number">(\d+)', part)}
        tagged = {line for path, line, _ in BLOCKS[name].tags[number] if path == BLOCKS[name].path}
        assert marked
        assert marked <= tagged, (name, number)
        compared += 1
    assert compared == text.count('class="formula"')


def test_a_block_shows_equations_both_twins_the_way_back_and_what_the_checker_says(site):
    text, page = site[1]["block-cross_stitch"]
    assert {f"eq-{n}" for n in BLOCKS["cross_stitch"].equations} <= set(page.ids)
    assert [a["id"] for a in page.all("div", role="tabpanel")] == ["panel-plain", "panel-fast"]
    fast = text[text.index('id="panel-fast"'):]
    assert "cross_stitch_forward_fast" in fast[:fast.index('id="forward-and-back"')]
    assert text.count('class="mistake"') == sum(
        m.case.startswith("cross_stitch") for m in planted.rates.load_mutants(slides.ROOT / "tests"))
    assert "cross_stitch: WRONG" in text
    assert "python -m tinynet exercise apl" in site[1]["block-apl"][0]


def test_the_search_finds_items_blocks_and_lessons(site):
    index = (site[0] / "assets" / "search-index.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("window.SEARCH = ").rstrip(";\n"))
    names = {(kind, name) for kind, name, _, _ in found}
    assert {("item", "saha apl"), ("block", "cross_stitch"), ("lesson", "good")} <= names
    assert ("erratum", "erratum 5 (saha)") in names
    assert all((site[0] / where.partition("#")[0]).is_file() for *_, where in found)


def test_an_erratum_is_told_from_its_sentence_to_the_next_one():
    text = "Before it. Erratum 17: fig9 prints 71.7. It is 71.1. Erratum 18: LP.\n\nAfter it."
    assert reading.of_erratum(text, 17) == "Erratum 17: fig9 prints 71.7. It is 71.1. "
    assert reading.of_erratum(text, 18) == "Erratum 18: LP."
    assert reading.of_erratum(text, 1) == ""
    assert [n for n in range(20) if slides.names_erratum("Errata 3, 10 and 11: attention; erratum 14", n)] == [
        3, 10, 11, 14]


def test_the_command_writes_notebooks_and_tells_where_it_cannot(tmp_path, capsys):
    from lessons.__main__ import main

    assert main(["--notebooks", str(tmp_path), "residual", "apl"]) == 0
    assert capsys.readouterr().out == f"notebooks in {tmp_path}: 2\n"
    assert sorted(path.name for path in tmp_path.rglob("*.ipynb")) == ["10_apl.ipynb", "10_residual.ipynb"]
    assert main(["--site", f"{__file__}/site", "residual"]) == 2
    assert "--site: no file can be written in" in capsys.readouterr().err


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch, capsys):
    import sys

    from lessons.__main__ import main

    monkeypatch.delitem(sys.modules, "lessons.site.build")
    monkeypatch.delattr(sys.modules["lessons.site"], "build")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["--site", "anywhere"]) == 2
    assert 'jinja2 is missing; install what the site needs with  pip install -e ".[lessons,site]"' in (
        capsys.readouterr().err)


# %% Figures to play with
@pytest.fixture(scope="module")
def equation():
    """equation("apl", x, a, b) -> what the page's script computes, by Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, which runs the pages' equations outside a browser")
    script = FOLDER / "site" / "static" / "equations.js"

    def run(name, *arguments):
        call = f"console.log(JSON.stringify(require({json.dumps(str(script))}).{name}(...{json.dumps(arguments)})))"
        return json.loads(subprocess.run([node, "-e", call], capture_output=True, text=True, check=True).stdout)
    return run


def test_temperature(equation):
    from tinynet.blocks.sequences.attention import attention_weights

    K, q = play.data()["temperature"]["K"], [0, 0.8, 0.3, 0, 0]
    for tau in (0.05, 1.0, 15.0):
        found, ours = equation("attention", K, q, tau), attention_weights(np.array([q]), np.array(K), scale=1 / tau)[0]
        np.testing.assert_allclose(found["weights"], ours, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found["entropy"], -(ours * np.log(ours)).sum(), rtol=1e-9)


def test_apl_unit(equation):
    from tinynet.blocks.units.apl import apl_forward

    a, b, x = [0.5, -0.8], [1.0, -0.5], np.linspace(-3, 3, 7)
    ours, _ = apl_forward(x[:, None], np.array(a)[:, None], np.array(b)[:, None])
    np.testing.assert_allclose([equation("apl", v, a, b) for v in x.tolist()], ours[:, 0], rtol=1e-12)


def test_cross_stitch(equation):
    from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward

    X, A = play.data()["stitch"]["X"], [[0.9, 0.2], [-0.1, 0.7]]
    ours, _ = cross_stitch_forward(np.array(X)[:, :, None], np.array(A))
    np.testing.assert_allclose(equation("crossStitch", X, A), ours[:, :, 0], rtol=1e-12)


def test_jacobians(equation):
    """The product times v, against the backward of the recurrent layer: v' J' from each unit of the last state."""
    from tinynet.blocks.sequences.rnn import rnn_backward, rnn_forward

    given, gain, T = play.data()["jacobians"], 0.9, 12
    W, h, v = (np.array(given[name]) for name in ("W", "h", "v"))
    n, U = len(h), gain * W.T
    _, cache = rnn_forward(np.zeros((n, T - 1, 1)), np.zeros((1, n)), U, np.zeros(n), h0=np.tile(h, (n, 1)))
    dh = np.zeros((n, T - 1, n))
    dh[:, -1] = np.eye(n)
    J = rnn_backward(dh, cache)[4]                          # row i: d h_i(T) / d h(1)
    assert np.isclose(equation("jacobians", W.tolist(), gain, h.tolist(), v.tolist(), T, False)[-1],
                      np.linalg.norm(J @ v), rtol=1e-10)
    linear = equation("jacobians", W.tolist(), gain, h.tolist(), v.tolist(), T, True)
    np.testing.assert_allclose(linear[-1], np.linalg.norm(np.linalg.matrix_power(gain * W, T - 1) @ v), rtol=1e-10)


def test_two_terms(equation):
    """Against the two terms that the block itself tells."""
    from tinynet.blocks.units.residual import residual_stack_forward, residual_terms

    given, gain, L = play.data()["terms"], 0.4, 9
    W1, W2, x, dE = (np.array(given[name]) for name in ("W1", "W2", "x", "dE"))
    _, (caches, *_) = residual_stack_forward(x[None], W1[:L], gain * W2[:L], activation="tanh")
    through, ours = np.zeros_like(dE)[None], [(0.0, np.linalg.norm(dE))]
    for cache in reversed(caches):
        through = through + residual_terms(dE + through, cache)[1]
        ours.insert(0, (np.linalg.norm(through), np.linalg.norm(dE + through)))
    found = equation("twoTerms", given["W1"], given["W2"], gain, given["x"], given["dE"], L)
    np.testing.assert_allclose(np.array([found["through"], found["sum"]]).T, ours, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["identity"], np.linalg.norm(dE), rtol=1e-12)


def test_uncertainty_weights(equation):
    from tinynet.balancing.uncertainty import uncertainty_loss, uncertainty_slopes

    for L, s, factor in ((4.0, 0.3, 0.5), (0.5, -1.0, 1.0)):
        found = equation("uncertainty", L, s, factor)
        weight, slope = uncertainty_slopes(L, s, factor)
        ours = [uncertainty_loss(L, s, factor), weight, slope]
        np.testing.assert_allclose([found["loss"], found["weight"], found["slope"]], ours, rtol=1e-12)


def test_the_words_of_a_figure_leave_out_empty_panels():
    from matplotlib.figure import Figure

    fig = Figure()
    fig.suptitle("Two panels")
    fig.subplots(1, 2)[0].set(title="$\\mathrm{d}E$", xlabel="block $l$")
    assert inside.words(fig) == "Two panels. dE; block l"
    assert inside.words(Figure()) == "A drawing"
