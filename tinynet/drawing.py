"""A drawing of the graph behind a tensor: DOT text, and SVG where graphviz is installed.

    >>> import tinynet as tn
    >>> x = tn.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> print(tn.draw_graph((x * x).sum()))
    digraph {
      rankdir=LR; node [fontname="Helvetica"];
      t0 [label="()", shape=box];
      s0 [label="sum", shape=ellipse]; s0 -> t0;
      t1 -> s0;
      t1 [label="(2)", shape=box];
      s1 [label="multiply", shape=ellipse]; s1 -> t1;
      t2 -> s1;
      t2 -> s1;
      t2 [label="x (2)", shape=box, style=bold];
    }
"""

import shutil
import subprocess


class Drawing(str):
    """DOT text that a notebook shows as a picture."""

    __slots__ = ()

    def svg(self):
        """The picture as SVG text; raises RuntimeError when graphviz is not installed."""
        dot = shutil.which("dot")
        if dot is None:
            raise RuntimeError("draw_graph: an SVG needs graphviz's command `dot`; "
                               "install graphviz, or paste the DOT text into any DOT viewer")
        return subprocess.run([dot, "-Tsvg"], input=self, capture_output=True, text=True, check=True).stdout

    def _repr_svg_(self):
        return self.svg() if shutil.which("dot") else None


def draw_graph(y):
    """The graph behind the tensor y: boxes are tensors with their shapes, leaves bold, ellipses are ops.

    Returns DOT text (a str); its `.svg()` is the picture where graphviz is installed.
    """
    lines, numbers, found = ['  rankdir=LR; node [fontname="Helvetica"];'], {id(y): 0}, [y]
    for tensor in found:
        n = numbers[id(tensor)]
        shape = f"({', '.join(map(str, tensor.shape))})"
        name = f"{tensor.name} {shape}" if tensor.name else shape
        label = name.replace("\\", "\\\\").replace('"', '\\"')
        leaf = ", style=bold" if tensor.requires_grad and not tensor.step else ""
        lines.append(f'  t{n} [label="{label}", shape=box{leaf}];')
        if not tensor.step:
            continue
        lines.append(f'  s{n} [label="{tensor.step.op.name}", shape=ellipse]; s{n} -> t{n};')
        for parent in tensor.step.parents:
            if parent is None:
                continue
            if id(parent) not in numbers:
                numbers[id(parent)] = len(found)
                found.append(parent)
            lines.append(f"  t{numbers[id(parent)]} -> s{n};")
    return Drawing("\n".join(["digraph {", *lines, "}"]))
