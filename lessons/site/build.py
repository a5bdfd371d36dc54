"""python -m lessons --site DIR: the lessons executed, and pages around them that need no network and no server.

All pages lie side by side in one folder, so that every link is a file's name.
"""

import base64
import html
import json
import struct
from collections import defaultdict
from pathlib import Path

import jinja2

from lessons.site import listing, mathematics, notebooks, planted, play, prose, reading
from lessons.tables import ledger
from lessons.tools import slides
from lessons.tools.catalogue import FOLDER, catalogue
from tinynet.exercises import sheets

HERE = Path(__file__).parent
TOPICS = ("units", "losses", "images", "sequences", "graphs", "tasks")


def build(entries, asked, lessons=FOLDER, out=print):
    """Execute the lessons and write all pages; returns the exit code: 0, 1 where a lesson failed, 130 after Ctrl-C."""
    folder = Path(asked.site)
    try:
        executed, failed = execute_all(entries, asked, folder, out)
        site = Site(folder, entries, executed, failed, asked.quick, catalogue(lessons))
        site.write()
    except KeyboardInterrupt:
        out("stopped by Ctrl-C; the same command goes on from here")
        return 130
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    out(f"{len(site.pages)} pages, {size / 1e6:.1f} MB: open {folder / 'index.html'}")
    return 1 if failed else 0


def execute_all(entries, asked, folder, out):
    """({topic: executed notebook}, {topic: why it failed})"""
    executed, failed = {}, {}
    for entry in entries:
        try:
            executed[entry.topic] = notebooks.executed(entry, asked, folder / "notebooks", out)
        except notebooks.LessonFailed as error:
            failed[entry.topic] = str(error)
            executed[entry.topic] = notebooks.notebook(entry)
            out(str(error))
    return executed, failed


def image_size(data):
    """(width, height) of a PNG."""
    return struct.unpack(">II", data[16:24])


def runs_of(table):
    """{(system, dataset): {metric: [value]}} of a table's ledger, by seed: what was measured on test data, or else what
    the table reports, which a run writes last.
    """
    runs = ledger.read(slides.ROOT / "figures" / "ledger" / f"{table.replace(' ', '_')}.jsonl")
    found = defaultdict(lambda: defaultdict(list))
    for cell, measured in sorted(runs.items()):
        for metric in [m for m in measured if m.startswith("test")] or [*measured][-1:]:
            value, _ = measured[metric]
            if not isinstance(value, list):
                found[cell.system, cell.dataset][metric].append(value)
    return found


class Site:
    """What is on the site, and its pages."""

    def __init__(self, folder, entries, executed, failed, quick, everything):
        self.folder, self.entries, self.failed, self.quick = folder, entries, failed, quick
        self.whole = len(entries) == len(everything)
        self.lessons = {entry.topic: entry for entry in entries}
        self.sections = {topic: reading.sections(notebook, slides.cited(self.lessons[topic].slides))
                         for topic, notebook in executed.items()}
        self.decks = [deck for deck in slides.DECKS if self.whole or any(e.deck == deck for e in entries)]
        self.tests, self.every_lesson = slides.tests_of(slides.ROOT), everything
        self.sheets = {deck: sheets.of_deck(deck).exercises for deck in self.decks}
        self.of_item = defaultdict(list)            # {(deck, item): [(block, equation's number)]}
        every = [b for b in slides.blocks() if b.equations]
        for block in every:
            for number, (_, source) in block.equations.items():
                for key in slides.cited(source):
                    self.of_item[key].append((block, number))
        named = {name for entry in entries for name in entry.blocks}
        named |= {b.name for key, found in self.of_item.items() if key[0] in self.decks for b, _ in found}
        self.blocks = {b.name: b for b in every if self.whole or b.name in named}
        self.recipes = slides.recipes()
        self.tables = sorted(path.stem for path in (slides.ROOT / "figures" / "results").glob("*.md"))
        self.mistakes, self.pages, self.search = {}, {}, []
        self.figures = {}                           # {name: (alternative text, width, height)}
        self.environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True,
                                              trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
        self.environment.globals.update(site=self, reading=reading, prose=prose, listing=listing, slides=slides)
        self.environment.filters.update(equation=prose.equation, markdown=prose.from_markdown, slug=prose.slug,
                                        lines=lambda n: f"{n} line{'s' * (n != 1)}")

    # %% Links
    def has(self, kind, name):
        return name in getattr(self, f"{kind}s")

    def link(self, kind, name, text=None, part=""):
        """An <a> to a page; the text alone where this site doesn't have it."""
        text = html.escape(name if text is None else text, quote=False)
        if not self.has(kind, name):
            return jinja2.utils.markupsafe.Markup(text)
        fragment = f"#{part}" if part else ""
        return jinja2.utils.markupsafe.Markup(f'<a href="{kind}-{name}.html{fragment}">{text}</a>')

    def item_links(self, text):
        """Links to all slide items that a text such as "shi 1.1-1.3; csc321 block" cites."""
        keys = dict.fromkeys(slides.cited(text))
        links = [self.link("deck", deck, f"{deck} {item}", prose.slug(item)) for deck, item in keys]
        return jinja2.utils.markupsafe.Markup(", ".join(links))

    # %% Writing
    def write(self):
        self._write_figures()
        self.mistakes = planted.by_block(self.folder / ".kept" / "mistakes", self.blocks)
        for deck in self.decks:
            self._page(f"deck-{deck}", "deck", deck=deck, title=slides.DECKS[deck][0],
                       items=[self.item(deck, item) for item in slides.ITEMS[deck]])
        for n, entry in enumerate(self.entries):
            self._page(f"lesson-{entry.topic}", "lesson", entry=entry, sections=self.sections[entry.topic],
                       before=self.entries[n - 1] if n else None, failed=self.failed.get(entry.topic),
                       after=self.entries[n + 1] if n + 1 < len(self.entries) else None)
            self._find("lesson", entry.topic, entry.question, f"lesson-{entry.topic}.html")
        for name, block in self.blocks.items():
            self._page(f"block-{name}", "block", **self.block(block))
            about = " ".join(block.docstring.partition("\n\n")[0].split())
            self._find("block", name, about, f"block-{name}.html")
        for topic in self.tables:
            text = (slides.ROOT / "figures" / "results" / f"{topic}.md").read_text(encoding="utf-8")
            names = {line.removeprefix("## ").partition(":")[0] for line in text.splitlines() if line.startswith("## ")}
            runs = {name: found for name in sorted(names) if (found := runs_of(name))}
            self._page(f"table-{topic}", "table", topic=topic, text=text.partition("\n")[2], runs=runs)
            self._find("tables", topic, "the papers' tables with spread and seeds", f"table-{topic}.html")
        self._page("errata", "errata", errata=self.errata())
        self._page("play", "play", figures=play.FIGURES)
        for figure in play.FIGURES:
            self._find("play", figure.title, figure.about, f"play.html#{figure.name}")
        topics = {topic: [b for b in self.blocks.values() if topic in b.path.parts] for topic in TOPICS}
        self._page("index", "index", topics=topics)
        self._write_assets()

    def _page(self, name, template, **values):
        text = self.environment.get_template(f"{template}.html").render(page=name, **values)
        self.pages[name] = text
        notebooks.write_whole(self.folder / f"{name}.html", text)

    def _find(self, kind, name, text, where):
        """Let the search find it."""
        self.search.append([kind, name, " ".join(text.split()), where])

    def _write_assets(self):
        assets = self.folder / "assets"
        for path in sorted((HERE / "static").iterdir()):
            notebooks.write_whole(assets / path.name, path.read_bytes())
        found = json.dumps(self.search, ensure_ascii=False)
        notebooks.write_whole(assets / "search-index.js", f"window.SEARCH = {found};\n")
        notebooks.write_whole(assets / "play-data.js", f"window.PLAY = {json.dumps(play.data())};\n")
        used = {ord(c) for page in self.pages.values() for c in page}
        notebooks.write_whole(assets / "mathematics.woff", mathematics.font(used))

    def _write_figures(self):
        """The lessons' figures as files; pages that show one of them share it."""
        for found in self.sections.values():
            for section in found:
                for cell in section.cells:
                    for output in reading.outputs(cell):
                        if output.kind == "figure":
                            data = base64.b64decode(output.data)
                            self.figures[output.name] = (output.alt, *image_size(data))
                            notebooks.write_whole(self.folder / "figures" / output.name, data)

    # %% What stands on a page
    def item(self, deck, item):
        """All about one slide item."""
        key, formulas = (deck, item), []
        for block, number in self.of_item.get(key, ()):
            formulas.append(dict(block=block, number=number, formula=formula_of(block, number),
                                 places=listing.computed(block, number)))
        told = [(entry, s) for entry in self.entries for s in reading.about(self.sections[entry.topic], key)]
        first = [name for entry, _ in told for name in entry.blocks]
        formulas.sort(key=lambda f: first.index(f["block"].name) if f["block"].name in first else len(first))
        elsewhere = [e for e in self.every_lesson if key in slides.cited(e.slides)]
        recipes = [e.path for e in self.recipes if key in slides.cited(e.slides)]
        figures = [f for e in elsewhere for f in slides.figures_of(e, deck, item) if f in self.figures]
        inside = {o.name for _, s in told for cell in s.cells for o in reading.outputs(cell)}
        exercises = [e for e in self.sheets[deck] if item in e.slides]
        batteries = defaultdict(dict)               # {block: {case: None}}, in order
        for block, number in self.of_item.get(key, ()):
            batteries[block.name] |= dict.fromkeys(slides.cases_of(block, number))
        name = next((_without_items(s) for _, s in told if key in s.in_heading), "")
        text = " ".join([name, *(f["formula"] for f in formulas)])
        self._find("item", f"{deck} {item}", text, f"deck-{deck}.html#{prose.slug(item)}")
        return dict(deck=deck, item=item, name=name, formulas=formulas, told=told, lessons=elsewhere,
                    figures=[f for f in dict.fromkeys(figures) if f not in inside], exercises=exercises,
                    tests=self.tests.get(key, []), batteries={n: [*c] for n, c in batteries.items() if c},
                    recipes=recipes, owed=not (formulas or elsewhere or recipes),
                    errata=[] if slides.erratum_number(item) else self.errata_of(key, told))

    def errata_of(self, key, told):
        """The numbers of the errata that belong to an item: a block's equation names both, or one of the sections
        `told` about it names them, or a section headed by them names the item.
        """
        found = {item for block, number in self.of_item.get(key, ())
                 for _, item in slides.cited(block.equations[number][1])}
        found |= {item for _, s in told for _, item in s.in_heading | s.in_text}
        for entry in self.entries:
            for s in self.sections[entry.topic]:
                if key in s.in_text:
                    found |= {item for _, item in s.in_heading}
        return sorted({slides.erratum_number(item) for item in found} - {0})

    def block(self, block):
        """What stands on the page of a block."""
        head, _, _ = block.docstring.partition("\n\n")
        lines = block.docstring.splitlines()
        last = max((i for i, line in enumerate(lines) if line.startswith("    (")), default=0)
        notes = "\n".join(lines[last + 1:]).strip("\n")
        keys = list(dict.fromkeys(key for _, source in block.equations.values() for key in slides.cited(source)))
        exercises = {e.name: e for deck in self.decks for e in self.sheets[deck]
                     if planted.home_of(e.name) == block.name}
        return dict(block=block, head=" ".join(head.split()), notes=notes, parts=listing.sections(block),
                    path=f"tinynet/{block.path.relative_to(slides.package(slides.ROOT)).as_posix()}",
                    formulas={n: formula_of(block, n) for n in block.equations}, keys=keys,
                    sources={n: source_of(block, n) for n in block.equations},
                    cases=slides.cases_of(block), pairs=listing.pairs(block), exercises=exercises,
                    tests=sorted({t for key in keys for t in self.tests.get(key, ()) if f"test_{block.name}" in t}),
                    mistakes=self.mistakes[block.name],
                    lessons=[e for e in self.every_lesson if block.name in e.blocks])

    def errata(self):
        """[(number, deck, [(entry, section, text)], blocks' equations, tests)] of the site's decks."""
        found = []
        for deck in self.decks:
            for number in slides.DECKS[deck][2]:
                told = []
                for entry in self.entries:
                    for s in self.sections[entry.topic]:
                        headed = slides.names_erratum(s.heading, number)
                        text = s.body if headed else reading.of_erratum(s.body, number)
                        if text:
                            told.append((entry, s, text, headed))
                key = (deck, f"erratum {number}")
                citing = [e for e in self.every_lesson if key in slides.cited(e.slides)]
                found.append(dict(number=number, deck=deck, told=told, lessons=citing, tests=self.tests.get(key, []),
                                  formulas=self.of_item.get(key, ())))
                self._find("erratum", f"erratum {number} ({deck})", " ".join(t[2] for t in told)[:300],
                           f"errata.html#erratum-{number}")
        return sorted(found, key=lambda e: e["number"])


def formula_of(block, number):
    """An equation's formula; what stands behind two spaces belongs to it where it goes on."""
    formula, source = block.equations[number]
    return f"{formula}  {source}" if formula.endswith((",", ";")) or " = " in source else formula


def source_of(block, number):
    formula, source = block.equations[number]
    return "" if formula_of(block, number) != formula else source


def _without_items(section):
    """"shi 1.6; csc321 resmath: the gradient that reaches block l" -> what is behind the items."""
    before, colon, behind = section.heading.partition(": ")
    if colon and slides.of_heading(before, section.cited):
        return behind
    return "" if section.in_full else section.heading
