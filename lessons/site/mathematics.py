"""Formulas in TeX as MathML, which browsers set by themselves, with a font for mathematics beside it.

latex2mathml reads the TeX.  What it leaves to be desired is mended here: functions stand apart from what they are
taken of, bars and signs have the space that belongs to them, limits stand under max and min.  A command that it does
not know raises BadFormula, because a formula that is set wrongly is worse than one that isn't set.
"""

import html
import io
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as Tree

from latex2mathml.converter import convert

SPACE = "http://www.w3.org/1998/Math/MathML"
FUNCTIONS = {"log", "ln", "exp", "sin", "cos", "tanh", "max", "min", "arg", "det", "tr"}
BARS = {"|", "\u2223", "\u2016", "\u2225"}
OPEN, CLOSE = set("([{\u27e8"), set(")]}\u27e9")
PRIMES = "\u2032\u2033\u2034"
SIGNS = {"\u2212", "+", "-", "\u00b1"}


class BadFormula(ValueError):
    """TeX that can't be set faithfully."""


@cache
def mathml(tex, display=False):
    """The formula as a <math> element.  Raises BadFormula."""
    tex = tex.strip()
    try:
        made = convert(_prepared(tex), display="block" if display else "inline")
        tree = Tree.fromstring(made.replace(f' xmlns="{SPACE}"', ""))
    except Exception as error:          # the reader raises a dozen kinds
        raise BadFormula(f"{tex!r}: {type(error).__name__} {error}") from None
    _tidy(tree, display)
    if unknown := [e.text for e in tree.iter() if e.text and "\\" in e.text]:
        raise BadFormula(f"{tex!r}: {', '.join(unknown)} is not known")
    return Tree.tostring(tree, encoding="unicode")


def _prepared(tex):
    """The two bars that come in sizes, as the sign that the reader knows."""
    tex = re.sub(r"\\([bB]ig+)[lr]?\s*\\(?:\||Vert|lVert|rVert)(?![a-zA-Z])", "\\\\\\1 \u2016", tex)
    return re.sub(r"\\operatorname\*?\{", r"\\mathrm{", tex)


def _tidy(element, display):
    _wrap_powers(element)
    for child in element:
        _tidy(child, display)
    _join_words(element)
    _lower_primes(element)
    children, spaced = list(element), []
    for before, child, after in zip([None, *children], children, [*children[1:], None], strict=False):
        core = _core(child)
        if core.tag == "mo" and core.text in BARS and core.get("form") is None:
            core.attrib |= dict.fromkeys(("lspace", "rspace"), "0.28em" if core.text == "\u2223" else "0")
        if core.get("minsize"):         # a bracket of a size of its own, also where it carries a power
            core.attrib |= dict(stretchy="true", form="postfix" if core.text in CLOSE else "prefix")
        if child.tag == "mo" and child.text in SIGNS and _is_sign(before):
            child.set("form", "prefix")
        if not _is_function(core):
            spaced.append(child)
            continue
        core.tag, core.attrib = "mi", {}
        if display and child.tag == "msub" and core.text in ("max", "min"):
            child.tag = "munder"
        thin_before = before is not None and _is_operand(before)
        thin_after = after is not None and (_is_operand(after) or _core(after).text in BARS)
        spaced += [*[_thin()] * thin_before, child, *[_thin()] * thin_after]
    if element.tag in ("math", "mrow", "mstyle", "mtd"):
        element[:] = spaced


def _wrap_powers(element):
    """What carries the power in \\Big( ... \\Big)^2 is all between the brackets: alone the closing one stays small."""
    for child in [c for c in element if c.tag in ("msub", "msup", "msubsup") and c[0].get("minsize")]:
        before = list(element)[:list(element).index(child)]
        opening = next((e for e in reversed(before) if e.get("minsize") == child[0].get("minsize")), None)
        if child[0].text in CLOSE and opening is not None:
            row = Tree.Element("mrow")
            row[:] = [*before[before.index(opening):], child[0]]
            for e in row[:-1]:
                element.remove(e)
            child[0] = row


def _lower_primes(element):
    """A prime is drawn high up already: as a power it would fly away, and be small."""
    if element.tag in ("msup", "msubsup") and element[-1].text and not element[-1].text.strip(PRIMES):
        prime = Tree.Element("mo", style="font-size:1.35em")
        prime.text = element[-1].text
        element[-1] = Tree.Element("mpadded", voffset="-.33em", height="0")
        element[-1].append(prime)


def _thin():
    return Tree.Element("mspace", width="0.17em")


def _join_words(element):
    """<mi>r</mi><mi>e</mi>... of \\mathrm{relu} as one word."""
    letters = list(element)
    if len(letters) > 1 and all(e.tag == "mi" and e.get("mathvariant") == "normal" for e in letters):
        word = "".join(e.text or "" for e in letters)
        for e in letters:
            element.remove(e)
        element.tag, element.text, element.attrib = "mi", word, {}


def _core(element):
    """The element, or what carries its subscripts."""
    while element.tag in ("msub", "msup", "msubsup", "munder", "munderover") or (
            element.tag == "mrow" and len(element) == 1):
        element = element[0]
    return element


def _is_function(element):
    text = element.text or ""
    return element.tag in ("mi", "mo") and (text in FUNCTIONS or (len(text) > 1 and text.isalpha()))


def _is_operand(element):
    core = _core(element)
    if core.tag in ("mi", "mn", "mfrac", "msqrt", "mover", "mstyle"):
        return True
    return core.tag == "mo" and (core.text in CLOSE or core.text == "\u2211" or _is_function(core))


def _is_sign(before):
    """Does a + or - behind this element belong to what follows?"""
    if before is None or before.tag == "mspace":
        return True
    return before.tag == "mo" and before.text not in CLOSE and before.text not in BARS and before.text != "!"


# %% In running text
def inline(tex, display=False):
    """The formula as MathML, or its TeX as it is typed where it can't be set."""
    try:
        return mathml(tex, display)
    except BadFormula:
        return f'<code class="tex">{html.escape(tex.strip())}</code>'


# %% The font
# what browsers take for the letters in <mi>: italic Latin and Greek, script; and the root, which stands in no text
LETTERS = {*range(0x1d434, 0x1d468), 0x210e, *range(0x1d6e2, 0x1d71c), *range(0x1d49c, 0x1d4d0), 0x211b, 0x2112, 0x2131,
           *range(0x20, 0x7f), 0x221a}


def font(characters):
    """STIX Two Math (SIL Open Font License), which the package ziamath carries, cut to these characters: WOFF bytes.

    Letters, root and brackets of all sizes are always in it.
    """
    import ziamath
    from fontTools import subset

    path = next(Path(ziamath.__file__).parent.rglob("STIXTwoMath-Regular.ttf"))
    options = subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True, name_IDs=["*"])
    loaded = subset.load_font(path, options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=sorted(LETTERS | characters))
    cutter.subset(loaded)
    data = io.BytesIO()
    subset.save_font(loaded, data, options)
    loaded.close()
    return data.getvalue()
