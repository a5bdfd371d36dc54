"""Stubs: a block's file for a student, made from the block itself.

The equations, shapes, signatures and the given half are read from the block's source; nothing is written twice, so
there is a stub for every block, also for those that come later.
"""

import ast
import inspect
import re
import sys
import textwrap

import numpy as np

from tinynet import cases
from tinynet.exercises import described, variants
from tinynet.exercises.forms import form_of
from tinynet.exercises.frames import LENT
from tinynet.graph import Graph

EXAMPLES = 3


class NotAlone(ValueError):
    """A function that can't be copied into a file of its own; the message says why."""


# %% A function with all that it needs
class _Collector:
    """The source of functions and of all that they use: top-level names of tinynet's modules are copied, imports of
    NumPy, the standard library and the LENT modules are kept.

    known   {(module, name there): name here}: two helpers of one name get different ones
    """

    def __init__(self):
        self.imports, self.definitions, self.known = {"np": "import numpy as np"}, {}, {}

    def add(self, module, name):
        """Copy `name`, bound at the top level of the module, after what it uses; returns its name here."""
        node = _top_level(module).get(name)
        if node is None:
            return name                         # a built-in
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return self._import(node, name)
        if (module, name) not in self.known:
            taken = name in self.known.values()
            here = self.known[module, name] = f"{name}_of_{module.__name__.rpartition('.')[2]}" if taken else name
            if isinstance(node, ast.Assign) and _calls(node.value, "Op"):
                self.definitions[here] = self._op(module, here, node.value.args[0].id)
            else:
                renamed = {used: self.add(module, used) for used in sorted(_names_in(node) - {name})} | {name: here}
                self.definitions[here] = _renamed(_text(module, node), renamed)
        return self.known[module, name]

    def _op(self, module, here, forward):
        """An op that the function uses: its forward alone, without the engine and the gradient."""
        self.imports["SimpleNamespace"] = "from types import SimpleNamespace"
        forward = self.add(module, forward)
        return f"{here} = SimpleNamespace(forward={forward}, pair=lambda *_: ({forward}, None))"

    def _import(self, node, name):
        alias = next(a for a in node.names if (a.asname or a.name.partition(".")[0]) == name)
        shown = alias.name if not alias.asname else f"{alias.name} as {alias.asname}"
        if isinstance(node, ast.Import):
            self.imports[name] = f"import {shown}"
        elif node.module == "tinynet":
            raise NotAlone(f"{name} is a whole module of tinynet; import what is needed of it by name")
        elif node.module.startswith("tinynet.") and node.module.partition(".")[2] not in LENT:
            return self.add(sys.modules[node.module], alias.name)
        else:
            self.imports[name] = f"from {node.module} import {shown}"
        return name

    def text(self):
        imports = "\n".join(sorted(set(self.imports.values()), key=lambda line: (line.startswith("from"), line)))
        return imports, list(dict.fromkeys(self.definitions.values()))


def _renamed(text, names):
    """The text with some of its names changed."""
    for old, new in names.items():
        if old != new:
            used, bound = rf"(?<![\w.\"']){re.escape(old)}\b(?!\s*=[^=])", rf"^{re.escape(old)}\b(?=\s*=[^=])"
            text = re.sub(bound, new, re.sub(used, new, text), flags=re.MULTILINE)
    return text


def _calls(node, name):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _top_level(module):
    """{name: the statement of the module that binds it}."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update({a.asname or a.name.partition(".")[0]: node for a in node.names})
        elif isinstance(node, ast.Assign):
            found.update({t.id: node for target in node.targets for t in ast.walk(target) if isinstance(t, ast.Name)})
    return found


def _names_in(node):
    """The names that the statement reads and doesn't bind itself."""
    nodes = list(ast.walk(node))
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return read - bound - {n.arg for n in nodes if isinstance(n, ast.arg)}


def _text(module, node):
    """The statement's own lines, with decorators and the comments at their ends."""
    lines = inspect.getsource(module).splitlines()
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return "\n".join(lines[first - 1:node.end_lineno])


def collected(*functions):
    """(imports, [definitions]) of functions and of all that they use."""
    collector = _Collector()
    for function in functions:
        collector.add(inspect.getmodule(function), function.__name__)
    return collector.text()


def forward_alone(op):
    """The block's forward as a file of its own, which needs nothing but NumPy (and what frames.LENT lists)."""
    imports, bodies = collected(op.forward)
    return f"{imports}\n\n\n" + "\n\n\n".join(bodies) + "\n"


# %% The stub
def stub(exercise, sheet=None, number=None):
    """The text of the file that a student gets for this exercise."""
    of_exercise = form_of(exercise.name, {}, exercise.variant).cases
    imports, functions = pieces(exercise)
    examples = [e for case in of_exercise if (e := _example(case))][:EXAMPLES]
    if any("Graph." in call for call, _ in examples) and "import Graph" not in imports:
        imports += "\nfrom tinynet.graph import Graph"
    op = of_exercise[0].op
    return "\n\n\n".join([f"{_head(exercise, op, sheet, number)}\n{imports}", *functions, _main(op, examples)]) + "\n"


def pieces(exercise):
    """(imports, [functions]): what is given, then what is to be written."""
    of_exercise = form_of(exercise.name, {}, exercise.variant).cases
    op, given = of_exercise[0].op, exercise.parts == "backward"
    imports, functions = collected(op.forward) if given else ("import numpy as np", [])
    functions = list(functions)
    if not given:
        functions.append(_forward_stub(op, of_exercise))
    if exercise.parts != "forward":
        functions.append(_backward_stub(op, of_exercise, given))
    return imports, functions


def _head(exercise, op, sheet, number):
    """The docstring: title, the equations that this op computes, its arrays, and what is to be done."""
    block = described.block_of(op)
    lines = described.docstring(op).strip().splitlines()
    wanted = described.tags(block.forward) + described.tags(block.backward)
    kept, equation = [], None
    for line in lines[1:]:
        start = line.strip().partition(")")[0].lstrip("(") if line.startswith("    (") else None
        equation = start if start else equation if line.startswith("     ") else None
        if equation is None or equation in wanted:
            kept.append(line)
    title = f"Exercise {number}, {exercise.function}" if number else f"Exercise {exercise.function}"
    of = f"   Sheet: {sheet.name}" if sheet else ""
    file = f"{number}_{exercise.function}.py" if number else f"{exercise.function}.py"
    todo = {"both": "both functions", "forward": "the forward", "backward": "the backward; the forward is given"}
    variant = (f"\n\nVariant: {exercise.name} {exercise.variant}\n"
               f"{variants.in_words(exercise.name, exercise.variant)}\n"
               f"The equations below are those of {exercise.name} itself.") if exercise.variant else ""
    return (f'"""{title} ({exercise.points:g} points).{of}{variant}\n\n{lines[0]}\n' + "\n".join(kept).rstrip()
            + f"\n\nWrite {todo[exercise.parts]}, with NumPy alone.  Then run\n\n    python -m tinynet check {file}\n"
            + '"""\n')


def _forward_stub(op, of_exercise):
    shapes = _arrays(of_exercise)
    return (f'def {op.forward.__name__}{described.signature(op.forward)}:\n    """{shapes} -> y, cache\n\n'
            "    cache is anything that backward needs: a tuple of arrays, say.\n"
            '    """\n    raise NotImplementedError')


def _fullest(of_exercise):
    """The case with the most arrays."""
    return max(of_exercise, key=lambda case: len(described.letters(case)))


def _arrays(of_exercise):
    case = _fullest(of_exercise)
    return ", ".join(f"{name} ({', '.join(axes.split())})" if axes else name
                     for name, axes in zip(described.names(case.op), described.letters(case), strict=False))


def _backward_stub(op, of_exercise, given):
    """The signature, the cache taken apart as our forward fills it, and what is to be returned."""
    case = _fullest(of_exercise)
    arrays = described.names(op, len(described.letters(case)))
    returned = ", ".join(f"d{name}" if i in described.gradients(case) else "None" for i, name in enumerate(arrays))
    dy, cache = list(inspect.signature(op.backward).parameters) if given else ("dy", "cache")
    text = [f"def {op.name}_backward({dy}, {cache}):", f'    """-> {returned}: one gradient for each array',
            "", f"    {dy:<6} the gradient of the loss with respect to y, of y's shape",
            f"    {cache:<6} {_cache(op) if given else f'what {op.name}_forward has returned second'}", '    """']
    taken = _taken_apart(op) if given else ""
    text += [f"    {taken} = {cache}"] if taken else []
    return "\n".join([*text, "    raise NotImplementedError"])


def _parsed(function):
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def _returned(op):
    """The expression that our forward returns second, or None."""
    returns = [n for n in ast.walk(_parsed(op.forward))
               if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple) and len(n.value.elts) == 2]
    return returns[-1].value.elts[1] if returns else None


def _cache(op):
    """What our forward returns second, as it stands in the code."""
    return ast.unparse(returned) if (returned := _returned(op)) else f"what {op.name}_forward returns second"


def _taken_apart(op):
    """The names for what is in the cache: those of our forward, or of our backward where it has no name; or ""."""
    put_in, first = _returned(op), _parsed(op.backward).body[0]
    target = first.targets[0] if isinstance(first, ast.Assign) else None
    if not isinstance(put_in, ast.Tuple) or not isinstance(target, ast.Tuple) or len(put_in.elts) != len(target.elts):
        return ""
    pairs = zip(put_in.elts, target.elts, strict=True)
    return ", ".join(p.id if isinstance(p, ast.Name) else ast.unparse(t) for p, t in pairs)


# %% Example calls
def _example(case):
    """(the call as text, what it gives), or None where an input can't be written down in a line."""
    op, arrays, settings = cases.draw(case, np.random.default_rng(1), **cases.distinct(case))
    given = [_written(a) for a in arrays] + [f"{key}={_written(value)}" for key, value in settings.items()]
    if None in [*map(_written, arrays), *map(_written, settings.values())]:
        return None
    call = f"{op.name}_forward({', '.join(given)})"
    space = dict(np=np, Graph=Graph, rng=np.random.default_rng(1))
    space[f"{op.name}_forward"] = op.forward
    y = eval(call, space)[0]
    return call, f"{np.shape(y)} {float(np.sum(y)):.6f}"


def _written(value):
    """An expression for an input, random where it is floating; None where it would be long."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        if value.size and (value * 4 % 1 == 0).all():
            return f"np.array({value.tolist()})" if value.size <= 20 else None
        positive = value.size > 2 and (value > 0).all()
        draw = f"uniform(0.5, 2, {value.shape})" if positive else f"normal(size={value.shape})"
        return f"rng.{draw}" if value.shape else f"np.array(rng.{draw})"
    if isinstance(value, np.ndarray) and value.dtype == bool:
        if value.ndim == 2 and not (value[:, 1:] > value[:, :-1]).any():        # tokens first, then padding
            return f"np.arange({value.shape[1]}) < np.array({value.sum(axis=1).tolist()})[:, None]"
        return f"rng.random({value.shape}) < 0.6"
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()})" if value.size <= 20 else None
    if isinstance(value, Graph):
        edges = list(zip(value.rows.tolist(), value.indices.tolist(), strict=True))
        return f"Graph.from_edges({edges}, {value.nodes})" if len(edges) <= 12 else None
    if isinstance(value, (tuple, list)):
        return repr(value) if all(isinstance(v, int) for v in value) else None
    return repr(value).replace("'", '"') if value is None or isinstance(value, (bool, int, float, str)) else None


def _main(op, examples):
    lines = ['if __name__ == "__main__":', "    rng = np.random.default_rng(1)"]
    for number, (call, result) in enumerate(examples, 1):
        again = "    rng = np.random.default_rng(1)\n" * (number > 1)
        lines.append(f"{again}    y, cache = {_wrapped(call)}")
        lines.append(f'    print(np.shape(y), f"{{np.sum(y):.6f}}")        # {result}')
    if not examples:
        lines.append(f"    print({op.name}_forward)")
    return "\n".join(lines)


def _wrapped(call):
    if len(call) < 95:
        return call
    head, _, tail = call.partition("(")
    return f"{head}(\n" + textwrap.fill(tail, 110, initial_indent=" " * 8, subsequent_indent=" " * 8)
