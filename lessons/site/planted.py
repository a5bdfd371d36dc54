"""The mistakes planted in our blocks, with what the checker says of each; kept, because checking all takes a minute."""

import hashlib
import inspect
import json
from collections import defaultdict

from lessons.site.notebooks import write_whole
from lessons.tools import slides
from lessons.tools.slides import ROOT, package
from tinynet import cases
from tinynet.check import rates


def by_block(folder, wanted, root=ROOT):
    """{block's name: [dict(name, kind, code, report)]} of the blocks in `wanted`; reports are kept in `folder`."""
    found = defaultdict(list)
    for mutant in rates.load_mutants(root / "tests"):
        found[slides.home(cases.CASES[mutant.case].op)].append(mutant)
    hashed = _sources(package(root))
    return {name: _judged(name, found.get(name, []), folder, hashed) for name in wanted}


def _sources(folder):
    """One hash of all of tinynet that a judgement can depend on: the checker's floor and those before it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] not in ("exercises", "bridges"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def home_of(name):
    """The block that has an op of this name."""
    return slides.home(cases.of(name)[0].op)


def _judged(name, mutants, folder, hashed):
    texts = [inspect.getsource(mutant.backward) for mutant in mutants]
    key = hashlib.sha256(json.dumps([hashed, texts]).encode()).hexdigest()
    path = folder / f"{name}.json"
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["key"] == key:
        return kept["mistakes"]
    judged = [dict(name=_words(mutant.backward.__name__), case=mutant.case, kind=mutant.kind, code=_body(text),
                   report=str(rates.judge(mutant))) for mutant, text in zip(mutants, texts, strict=True)]
    write_whole(path, json.dumps(dict(key=key, mistakes=judged)))
    return judged


def _words(name):
    return name.strip("_").replace("_", " ")


def _body(text):
    """The function without the line that registers it."""
    return text[text.index("def "):].rstrip()
