"""Markdown as HTML with formulas, and the plain-text equations of docstrings in signs that a reader knows."""

import html
import re

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from lessons.site.listing import coloured
from lessons.site.mathematics import inline

GREEK = dict(alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", eta="η", theta="θ", mu="μ", pi="π", rho="ρ",
             sigma="σ", tau="τ", phi="φ", omega="ω", Phi="Φ") | {"lambda": "λ"}
SIGNS = {"<=": "≤", ">=": "≥", "->": "→", "<-": "←"}


def _reader():
    made = MarkdownIt("commonmark", dict(html=True)).enable("table").use(dollarmath_plugin, double_inline=True)
    made.add_render_rule("math_inline", lambda self, tokens, i, *_: inline(tokens[i].content))
    for name in ("math_inline_double", "math_block", "math_block_label"):
        made.add_render_rule(name, lambda self, tokens, i, *_: display(tokens[i].content))
    made.add_render_rule("html_block", lambda self, tokens, i, *_: _formulas(tokens[i].content))
    made.add_render_rule("fence", lambda self, tokens, i, *_: _code(tokens[i].content))
    return made


def _code(source):
    return f'<pre class="code" tabindex="0"><code>{chr(10).join(coloured(source.rstrip()))}</code></pre>'


def display(tex):
    """A formula on lines of its own; a span, because it may stand in the middle of a paragraph."""
    return f'<span class="display">{inline(tex, True)}</span>'


def _formulas(markup):
    """HTML in which $...$ stands, such as the summary of an answer."""
    return re.sub(r"\$([^$\n]+)\$", lambda m: inline(m[1]), markup)


READER = _reader()


def from_markdown(text):
    """Markdown with $...$ and $$...$$ as HTML; headings go down by one, because a page has its own title."""
    lower = re.sub(r"^(#{1,5} )", r"#\1", text, flags=re.MULTILINE)
    made = READER.render(lower)
    return made.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")


def title(text):
    """A heading's Markdown as HTML, without a paragraph around it."""
    return READER.renderInline(text)


def slug(text):
    """What a heading is called in an address."""
    bare = re.sub(r"<math.*?</math>|<[^>]*>", "", html.unescape(text))
    return re.sub(r"[^a-z0-9.]+", "-", bare.lower()).strip("-") or "part"


# %% Equations of docstrings
def equation(text):
    """A docstring's equation: the same signs in the same order, with Greek letters, sums and small indices.

    Only what has one reading is changed: `sum_i`, `alpha`, `x_l`, `x^2`, `<=`. Nothing is moved, so that no fraction or
    bracket can be read otherwise than it stands in the file.
    """
    made = html.escape(text, quote=False)
    made = re.sub(r"&lt;=|&gt;=|-&gt;|&lt;-(?!\w)", lambda m: SIGNS[html.unescape(m[0])], made)
    made = re.sub(r"\b(d?)(" + "|".join(GREEK) + r")(?=\b|_|\d)", lambda m: m[1] + GREEK[m[2]], made)
    made = re.sub(r"\b(sum|prod)_(\{[^{}]*\}|[A-Za-z']+)",
                  lambda m: f'<span class="big">{"∑" if m[1] == "sum" else "∏"}</span>{_small("sub", m[2])}', made)
    made = re.sub(r"(\b\w{1,2}|[\w)\]']+(?=_\{|_\w{1,2}\b))_(\{[^{}]*\}|[A-Za-z0-9α-ω]+)",
                  lambda m: m[1] + _small("sub", m[2]), made)
    return re.sub(r"\^(\{[^{}]*\}|\((?:[^()]*)\)|-?[A-Za-z0-9]+(?![\w(]))", lambda m: _small("sup", m[1]), made)


def _small(tag, text):
    return f"<{tag}>{text.strip('{}')}</{tag}>"


def escaped(text):
    """Printed text as HTML, without the colours of a terminal."""
    return html.escape(re.sub(r"\x1b\[[0-9;]*m", "", text), quote=False)
