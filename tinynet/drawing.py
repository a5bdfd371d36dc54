"""A drawing of the graph behind a tensor: a picture (SVG) that a notebook shows, and the same as DOT text.

    >>> import tinynet as tn
    >>> x = tn.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> drawing = tn.draw_graph((x * x).sum())
    >>> print(drawing)
    digraph {
      node [fontname="Helvetica"];
      t0 [label="()|5", shape=box];
      s0 [label="sum", shape=ellipse];
      t1 [label="(2)|[1 4]", shape=box];
      s1 [label="multiply", shape=ellipse];
      t2 [label="x (2)|[1 2]", shape=box, style=bold];
      s0 -> t0;
      t1 -> s0;
      s1 -> t1;
      t2 -> s1;
      t2 -> s1;
    }
    >>> drawing.svg()[:4]
    '<svg'
"""

from collections import Counter, defaultdict
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tinynet.engine import SMALL, Step

LETTER, LINE, GAP = 7.4, 16, 26         # pixels: a letter's width, a line's height, the space between boxes


class Node(NamedTuple):
    """A tensor (box) or an op (ellipse); a leaf that learns has a bold frame."""

    lines: list
    op: bool = False
    leaf: bool = False


# %% The graph
def draw_graph(y):
    """The graph behind the tensor y: boxes are tensors, ellipses are ops, leaves that learn have a bold frame.

    A box tells the tensor's name and shape, and for up to 4 entries its values, and its gradient after a backward
    pass.  Returns DOT text (a str) that a notebook shows as a picture; its `.svg()` is the picture.
    """
    start = y.step or y
    names, found, nodes, edges = {start: "t0"}, [start], {}, []
    for n, place in enumerate(found):           # a step stands for its result
        is_step = isinstance(place, Step)
        nodes[f"t{n}"] = Node(_lines(place), leaf=place.requires_grad and not is_step)
        if not is_step:
            continue
        nodes[f"s{n}"] = Node([place.op.name], op=True)
        edges.append((f"s{n}", f"t{n}"))
        for parent in (p for p in place.parents if p is not None):
            if parent not in names:
                names[parent] = f"t{len(found)}"
                found.append(parent)
            edges.append((names[parent], f"s{n}"))
    return Drawing(nodes, edges)


def _lines(place):
    """What the box of a leaf, or of a step's result, says."""
    shape = f"({', '.join(map(str, place.shape))})"
    lines = [f"{place.name} {shape}" if place.name else shape]
    value, grad = (place.value, None) if isinstance(place, Step) else (place.data, place.grad)
    if value is not None and value.size <= SMALL:
        lines += [_short(value)] + ([f"grad {_short(grad)}"] if grad is not None else [])
    return lines


def _short(values):
    return " ".join(np.array2string(values, formatter={"all": lambda v: f"{v:.3g}"}).split())


class Drawing(str):
    """DOT text that a notebook shows as a picture; `.svg()` is the picture."""

    def __new__(cls, nodes, edges):
        """nodes: {name: Node}; edges: pairs of names (from, to), in the direction of the forward pass."""
        lines = ['  node [fontname="Helvetica"];']
        for name, node in nodes.items():
            label = "|".join(node.lines).replace("\\", "\\\\").replace('"', '\\"')
            look = ("ellipse" if node.op else "box") + (", style=bold" if node.leaf else "")
            lines.append(f'  {name} [label="{label}", shape={look}];')
        lines += [f"  {start} -> {end};" for start, end in edges]
        drawing = super().__new__(cls, "\n".join(["digraph {", *lines, "}"]))
        drawing.nodes, drawing.edges = nodes, edges
        return drawing

    def svg(self):
        """The picture as SVG text: the inputs above, the result below."""
        rows, routes = _rows(self.nodes, self.edges)
        sizes = {name: _size(self.nodes.get(name)) for row in rows for name in row}
        x, y, top = _across(rows, routes, sizes), {}, GAP
        for row in rows:
            height = max(sizes[name][1] for name in row)
            y |= dict.fromkeys(row, top + height / 2)
            top += height + GAP
        place = {name: (x[name], y[name], *sizes[name]) for name in x}
        right = max(middle + width / 2 for middle, _, width, _ in place.values()) + GAP
        shapes = [_path([place[name] for name in route]) for route in routes]
        shapes += [_shape(node, *place[name]) for name, node in self.nodes.items()]
        return _SVG.format(width=f"{right:.0f}", height=f"{top:.0f}", shapes="\n".join(shapes))

    _repr_svg_ = svg


# %% The layout: rows from above to below, and in each an order from left to right
def _rows(nodes, edges):
    """(rows, routes): names by row, and each edge as the names that it passes, one a row.

    A node stands as many rows above the result as its longest way there has edges.  An edge over several rows gets
    a place of its own in each, so that it doesn't run through boxes.
    """
    inputs, waiting = defaultdict(list), Counter(start for start, _ in edges)
    for start, end in edges:
        inputs[end].append(start)
    rank, ready = dict.fromkeys(nodes, 0), [name for name in nodes if not waiting[name]]
    for name in ready:
        for start in inputs[name]:
            rank[start] = max(rank[start], rank[name] + 1)
            waiting[start] -= 1
            if not waiting[start]:
                ready.append(start)
    rows, routes = [[] for _ in range(max(rank.values()) + 1)], []
    for name in nodes:
        rows[rank[name]].append(name)
    for k, (start, end) in enumerate(edges):
        between = range(rank[start] - 1, rank[end], -1)
        for n in between:
            rows[n].append(f"{k} at {n}")
        routes.append([start, *(f"{k} at {n}" for n in between), end])
    return rows[::-1], routes


def _across(rows, routes, sizes, sweeps=8):
    """The middle of every name, in pixels from the left: near its neighbours in the next row, without overlap."""
    near = (defaultdict(list), defaultdict(list))               # above a name, and below it
    for a, b in (pair for route in routes for pair in pairwise(route)):
        near[0][b].append(a)
        near[1][a].append(b)
    x = {name: float(i) for row in rows for i, name in enumerate(row)}
    for sweep in range(sweeps):
        for row in rows if sweep % 2 else rows[::-1]:
            others = near[1 - sweep % 2]
            wanted = {name: np.mean([x[o] for o in others[name]]) if others[name] else x[name] for name in row}
            row.sort(key=wanted.get)
            x[row[0]] = wanted[row[0]]
            for left, name in pairwise(row):
                x[name] = max(wanted[name], x[left] + (sizes[left][0] + sizes[name][0]) / 2 + GAP / 2)
            shift = np.mean([wanted[name] - x[name] for name in row])
            x |= {name: x[name] + shift for name in row}
    first = min(x[name] - sizes[name][0] / 2 for name in x) - GAP
    return {name: value - first for name, value in x.items()}


def _size(node):
    """(width, height) in pixels; where an edge only passes, nearly nothing."""
    if node is None:
        return 4, 0
    return max(map(len, node.lines)) * LETTER + (30 if node.op else 16), len(node.lines) * LINE + 12


# %% The picture
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"
 font-family="Helvetica, Arial, sans-serif" font-size="13" text-anchor="middle">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 L8 4 L0 8 z"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
{shapes}
</svg>"""


def _path(places):
    """A curve through the places of a route, from the bottom of the first to the top of the last."""
    x, y, _, height = places[0]
    text = [f"M{x:.1f} {y + height / 2:.1f}"]
    for (x0, y0, _, h0), (x1, y1, _, h1) in pairwise(places):
        start, end = y0 + h0 / 2, y1 - h1 / 2
        middle = (start + end) / 2
        text.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {end:.1f}")
    return f'<path d="{" ".join(text)}" fill="none" stroke="black" marker-end="url(#tip)"/>'


def _shape(node, x, y, width, height):
    frame = f'stroke="black" stroke-width="{3 if node.leaf else 1}"'
    if node.op:
        radii = f'rx="{width / 2:.1f}" ry="{height / 2:.1f}"'
        outline = f'<ellipse cx="{x:.1f}" cy="{y:.1f}" {radii} fill="#c9d3de" {frame}/>'
    else:
        corner = f'x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}"'
        outline = f'<rect {corner} rx="3" fill="white" {frame}/>'
    first = y - (len(node.lines) - 1) * LINE / 2 + 4.5
    texts = [f'<text x="{x:.1f}" y="{first + i * LINE:.1f}">{escape(line)}</text>' for i, line in enumerate(node.lines)]
    return "\n".join([outline, *texts])
