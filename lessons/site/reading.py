"""What the pages show, gathered from the house: lessons in sections, items with all that belongs to them, errata."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from lessons.site import prose
from lessons.tools import slides

LONG = 24       # lines of an output that is shown whole


# %% A lesson
@dataclass
class Section:
    """A lesson from one heading to the next."""

    heading: str
    cells: list
    cited: frozenset = frozenset()      # the (deck, item)s of the lesson
    place: str = ""                     # what it is called in an address, once on a page

    @cached_property
    def text(self):
        return "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")

    @cached_property
    def body(self):
        """The text without the heading."""
        return re.sub(r"\A#+ .*\n?", "", self.text)

    @cached_property
    def formulas(self):
        return re.findall(r"\$\$(.+?)\$\$", self.text, re.DOTALL)

    @cached_property
    def in_full(self):
        """The (deck, item)s that the heading names with their deck."""
        return set(slides.named(self.heading))

    @cached_property
    def in_heading(self):
        return slides.of_heading(self.heading, self.cited)

    @cached_property
    def in_text(self):
        return set(slides.named(self.text)) | {
            (deck, item) for deck, item in self.cited if slides.names_erratum(self.text, slides.erratum_number(item))}

    @cached_property
    def drawn(self):
        """The (deck, item)s whose figures its cells draw."""
        names = [output.name for cell in self.cells for output in outputs(cell) if output.name]
        return {key for key in self.cited for name in names if slides.is_figure_of(name, *key)}


def sections(notebook, cited=()):
    """The Sections of a lesson, which cites these (deck, item)s: the docstring's cell is left out, because the page's
    head tells what it says, and the lesson's own title names nothing.
    """
    cited, found = frozenset(cited), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if _is_docstring(cell.source):
                rest = cell.source.strip().strip('"').split("\n\n")[2:]
                if rest and found:
                    found[-1].cells.append(type(cell)(cell | dict(source="\n\n".join(rest))))
                continue
            heading = re.match(r"#+ (.*)", cell.source)
            if heading:
                found.append(Section(heading[1], [], cited if found else frozenset()))
        if not found:
            found.append(Section("", []))
        found[-1].cells.append(cell)
    for n, section in enumerate(found):
        slug = prose.slug(section.heading)
        section.place = slug if slug not in {s.place for s in found[:n]} else f"{slug}-{n}"
    return found


def _is_docstring(text):
    return re.search(r"^Slides:", text, re.MULTILINE) and re.search(r"^Run time:", text, re.MULTILINE)


def about(all_sections, key):
    """The sections about an item: those whose heading names it in full, else those whose heading names it at all or
    that draw its figure, else the first whose text names it.
    """
    return ([s for s in all_sections if key in s.in_full]
            or [s for s in all_sections if key in s.in_heading or key in s.drawn]
            or [s for s in all_sections if key in s.in_text][:1])


# %% A cell
@dataclass
class Output:
    """One output of a cell as HTML; a figure has its name and words, numbers have [(label, ours, the slide's)]."""

    kind: str
    markup: str = ""
    lines: int = 0
    name: str = ""
    alt: str = ""
    data: str = ""
    rows: list = field(default_factory=list)


def outputs(cell):
    """The Outputs of a code cell, printed text that follows printed text joined, and number that follows number."""
    found = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream":
            if found and found[-1].kind == "text":
                found[-1].markup += prose.escaped(output.text)
            else:
                found.append(Output("text", prose.escaped(output.text)))
        elif number := output.get("metadata", {}).get("text/plain", {}).get("number"):
            if not found or found[-1].kind != "numbers":
                found.append(Output("numbers"))
            found[-1].rows.append(number)
        elif output.output_type in ("display_data", "execute_result"):
            found += _shown(output)
    for output in found:
        output.markup = output.markup.rstrip("\n")
        output.lines = len(output.rows) or output.markup.count("\n") + 1
    return found


def _shown(output):
    data, told = output.data, output.metadata.get("image/png", {})
    if "image/png" in data:
        return [Output("figure", name=told.get("name", ""), alt=told.get("alt", "A drawing"), data=data["image/png"])]
    if "image/svg+xml" in data:
        return [Output("drawing", data["image/svg+xml"])]
    return [Output("text", prose.escaped(data["text/plain"]))] if "text/plain" in data else []


# %% Errata
def of_erratum(text, number):
    """What a text says of an erratum: from the first sentence that names it to the end of the paragraph."""
    for paragraph in re.split(r"\n\s*\n|\n(?=#)", text):
        if match := re.search(rf"(?:^|(?<=[.;:] )|(?<=\n))[^.;]*?\b[Ee]rratum {number}\b", paragraph):
            rest = paragraph[match.start():]
            other = re.search(rf"(?<=[.;]\s)\*{{0,2}}[Ee]rratum (?!{number}\b)\d+", rest[len(match[0]):])
            return rest[:len(match[0]) + other.start()] if other else rest
    return ""
