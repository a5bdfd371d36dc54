"""The figures to play with: titles, words, formulas, and the numbers that their scripts start from.

static/equations.js computes them in the page, static/play.js draws; tests/lessons/test_site.py compares with tinynet.
"""

from typing import NamedTuple

import numpy as np

SIZE, BLOCKS, PLACES = 6, 32, 41        # hidden units, residual blocks, places of a feature


class Figure(NamedTuple):
    """One figure; `name` is that of its function in play.js."""

    name: str
    title: str
    about: str
    formula: str
    lesson: str


FIGURES = (
    Figure("temperature", "The temperature of attention",
           "Five words, described by how much each is a determiner, an adjective, a noun, a verb, an adverb. The query "
           "asks for adjectives, nouns, or both. A small $\\tau$ makes a hard look-up, a large one takes all alike.",
           r"\alpha = \operatorname{softmax}(K q / \tau)", "attention"),
    Figure("apl", "Slopes and hinges of an APL unit",
           "Two hinges of one unit. A hinge acts to the left of its $b_s$, where it adds $-a_s$ to the slope.",
           r"h(x) = \max(0, x) + \sum_{s=1}^{S} a_s \max(0, -x + b_s)", "apl"),
    Figure("stitch", "The alphas of a cross-stitch unit",
           "Two tasks with one feature each over 41 places. With $\\alpha_{AB} = \\alpha_{BA} = 0$ each goes alone; "
           "with all at 1/2 both see the same.",
           r"\tilde{x}_A = \alpha_{AA}\,x_A + \alpha_{AB}\,x_B, \qquad "
           r"\tilde{x}_B = \alpha_{BA}\,x_A + \alpha_{BB}\,x_B", "cross_stitch"),
    Figure("jacobians", "Gain and depth of a product of Jacobians",
           "$W$ turns and changes no length; the gain stretches. Over $T$ steps the product vanishes or explodes, and "
           "with tanh its slopes below 1 come in at every step.",
           r"J = \prod_{t=T}^{2} \operatorname{diag}\!\big(1 - (h^{(t)})^2\big)\, g W, "
           r"\qquad h^{(t)} = \tanh(g W h^{(t-1)})", "vanishing_gradients"),
    Figure("terms", "The two terms of shi 1.6 over depth",
           "Residual blocks $F(x) = g\\, W_2 \\tanh(W_1 x)$ with a gain $g$ on their last weights. The identity term "
           "is the same at every block.",
           r"\frac{dE}{dx_l} = \frac{dE}{dx_L} + \frac{dE}{dx_L}\,\frac{d}{dx_l}\sum_{i=l}^{L-1} F(x_i, W_i)",
           "residual"),
    Figure("uncertainty", "Uncertainty weights of two tasks",
           "What a task adds to the total, over $s = \\log \\sigma^2$. The lowest point is at $\\sigma^2 = L$; as the "
           "slide prints it (erratum 4), without the 1/2, it lies at $\\sigma^2 = 2L$.",
           r"\sum_k \left( \tfrac12 e^{-s_k} L_k + \tfrac12 s_k \right)", "loss_balancing"),
)


def data():
    """{figure's name: the numbers it starts from}, as lists."""
    rng = np.random.default_rng(0)
    n = np.linspace(0, 1, PLACES)
    unit = rng.normal(size=SIZE)
    arrays = dict(
        temperature=dict(K=[[1, .1, 0, 0, 0], [0, .9, .4, 0, .1], [0, .2, 1, .1, 0], [0, 0, .3, .9, 0],
                            [0, .4, 0, .1, .9]]),
        apl={},
        stitch=dict(X=np.array([np.sin(2 * np.pi * n), np.exp(-(8 * (n - 0.6)) ** 2)])),
        jacobians=dict(W=np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0], h=rng.normal(size=SIZE),
                       v=unit / np.linalg.norm(unit)),
        terms=dict(W1=rng.normal(size=(BLOCKS, SIZE, SIZE)) / SIZE ** 0.5,
                   W2=rng.normal(size=(BLOCKS, SIZE, SIZE)) / SIZE ** 0.5,
                   x=rng.normal(size=SIZE), dE=rng.normal(size=SIZE) / SIZE ** 0.5),
        uncertainty={})
    made = {name: {key: np.round(value, 6).tolist() for key, value in of.items()} for name, of in arrays.items()}
    made["temperature"]["words"] = ["the", "old", "dog", "barks", "loudly"]
    return made
