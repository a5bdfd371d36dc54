// Figures to play with: sliders, and curves as SVG.
"use strict";

const SVG = "http://www.w3.org/2000/svg", WIDE = 560, HIGH = 340, EDGE = {left: 62, right: 16, top: 16, bottom: 46};

function make(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

const short = x => Math.abs(x) >= 1e4 || (x && Math.abs(x) < 1e-3) ? x.toExponential(1) : String(+x.toPrecision(3));

// A pair of axes: x and y are [low, high, label]; log: y is a power of ten
function axes({x, y, log = false, ticks = null}) {
  const svg = make("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img"});
  const level = v => log ? Math.log10(Math.max(v, 1e-300)) : v;
  const [low, high] = [level(y[0]), level(y[1])];
  const px = v => EDGE.left + (v - x[0]) / (x[1] - x[0]) * (WIDE - EDGE.left - EDGE.right);
  const py = v => HIGH - EDGE.bottom - (Math.min(Math.max(level(v), low - 1), high + 1) - low) / (high - low)
    * (HIGH - EDGE.top - EDGE.bottom);
  const id = `clip-${Math.random().toString(36).slice(2)}`;
  const clip = make("clipPath", {id});
  clip.append(make("rect", {x: EDGE.left, y: EDGE.top - 3, width: WIDE - EDGE.left - EDGE.right + 3,
                            height: HIGH - EDGE.top - EDGE.bottom + 6}));
  svg.append(clip);
  for (let i = 0; i <= 4; i++) {
    const v = low + (high - low) * i / 4, at = HIGH - EDGE.bottom - i / 4 * (HIGH - EDGE.top - EDGE.bottom);
    svg.append(make("line", {class: "grid", x1: EDGE.left, x2: WIDE - EDGE.right, y1: at, y2: at}),
               make("text", {x: EDGE.left - 6, y: at + 4, "text-anchor": "end"}, log && v ? `1e${v}` : short(log ? 1 : v)));
  }
  for (const [v, name] of ticks || [0, 1, 2, 3, 4].map(i => x[0] + (x[1] - x[0]) * i / 4).map(v => [v, short(v)])) {
    svg.append(make("text", {x: px(v), y: HIGH - EDGE.bottom + 18, "text-anchor": "middle"}, name));
  }
  svg.append(make("path", {class: "axis", d: `M${EDGE.left} ${EDGE.top}V${HIGH - EDGE.bottom}H${WIDE - EDGE.right}`}),
             make("text", {x: (WIDE + EDGE.left) / 2, y: HIGH - 8, "text-anchor": "middle"}, x[2]),
             make("text", {x: 14, y: HIGH / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${HIGH / 2})`}, y[2]));
  const inside = make("g", {"clip-path": `url(#${id})`});
  svg.append(inside);
  let named = 0;
  const DASHES = ["", "8 4", "2 3"];
  return {
    svg,
    curve(xs, ys, colour, name) {
      const d = xs.map((v, i) => `${i ? "L" : "M"}${px(v).toFixed(1)} ${py(ys[i]).toFixed(1)}`).join("");
      inside.append(make("path", {class: `curve c${colour}`, d, "stroke-dasharray": DASHES[colour]}));
      if (name) {
        const at = EDGE.top + 12 + 17 * named++;
        svg.append(make("line", {class: `curve c${colour}`, x1: WIDE - 190, x2: WIDE - 160, y1: at - 4, y2: at - 4,
                                 "stroke-dasharray": DASHES[colour]}),
                   make("text", {x: WIDE - 153, y: at}, name));
      }
    },
    bar(v, height, width, colour) {
      inside.append(make("rect", {class: `f${colour}`, x: px(v - width / 2), width: px(width) - px(0), y: py(height),
                                  height: Math.max(0, py(0) - py(height))}));
    },
    point(v, height, colour) { inside.append(make("circle", {class: `f${colour}`, cx: px(v), cy: py(height), r: 5})); },
  };
}

const range = (a, b, count) => Array.from({length: count}, (_, i) => a + (b - a) * i / (count - 1));

// One figure each: sliders [name, low, high, step, start, shown as]; draw(values, data) -> {svg, told, values}
const FIGURES = {
  temperature: {
    sliders: [["log10 tau", -1.5, 1.3, 0.01, 0, v => short(10 ** v)], ["query: adjective", 0, 1, 0.01, 1], ["query: noun", 0, 1, 0.01, 0]],
    draw([logTau, adjective, noun], {K, words}) {
      const tau = 10 ** logTau, {weights, entropy} = Equations.attention(K, [0, adjective, noun, 0, 0], tau);
      const plot = axes({x: [-0.6, words.length - 0.4, "word"], y: [0, 1, "weight"], ticks: words.map((word, i) => [i, word])});
      weights.forEach((w, i) => plot.bar(i, w, 0.6, i === weights.indexOf(Math.max(...weights)) ? 1 : 0));
      return {svg: plot.svg, values: [...weights, entropy],
              told: `tau = ${short(tau)}: ${words.map((w, i) => `${w} ${weights[i].toFixed(3)}`).join(", ")}; entropy ${entropy.toFixed(3)} nats of at most ${Math.log(5).toFixed(3)}`};
    },
  },
  apl: {
    sliders: [["a1", -1.5, 1.5, 0.01, 0.5], ["b1", -2, 2, 0.01, 1], ["a2", -1.5, 1.5, 0.01, -0.8], ["b2", -2, 2, 0.01, -0.5]],
    draw([a1, b1, a2, b2]) {
      const xs = range(-3, 3, 241), a = [a1, a2], b = [b1, b2], y = x => Equations.apl(x, a, b);
      const plot = axes({x: [-3, 3, "x"], y: [-4, 4, "h(x)"]});
      plot.curve(xs, xs.map(x => Math.max(0, x)), 1, "ReLU");
      plot.curve(xs, xs.map(y), 0, "APL unit");
      [0, b1, b2].forEach(x => plot.point(x, y(x), 2));
      const slope = -a1 - a2;
      return {svg: plot.svg, values: [-3, -1, 0, 0.5, 2].map(y),
              told: `h(-3) = ${y(-3).toFixed(3)}, h(0) = ${y(0).toFixed(3)}, h(2) = ${y(2).toFixed(3)}; slope far left ${slope.toFixed(2)}; the dots are the hinges`};
    },
  },
  stitch: {
    sliders: [["alpha AA", -0.5, 1.5, 0.01, 0.9], ["alpha AB", -0.5, 1.5, 0.01, 0.1], ["alpha BA", -0.5, 1.5, 0.01, 0.1], ["alpha BB", -0.5, 1.5, 0.01, 0.9]],
    draw([aa, ab, ba, bb], {X}) {
      const Y = Equations.crossStitch(X, [[aa, ab], [ba, bb]]), n = range(0, X[0].length - 1, X[0].length);
      const plot = axes({x: [0, X[0].length - 1, "place n"], y: [-2, 2, "feature"]});
      plot.curve(n, X[0], 2, "task A before");
      plot.curve(n, Y[0], 0, "task A after");
      plot.curve(n, Y[1], 1, "task B after");
      const size = y => Math.sqrt(y.reduce((s, v) => s + v * v, 0)), alike = Equations.crossStitch([Y[0]], [[1]])[0]
        .reduce((s, v, i) => s + v * Y[1][i], 0) / (size(Y[0]) * size(Y[1]) || 1);
      return {svg: plot.svg, values: [Y[0][3], Y[1][3], Y[0][20], Y[1][20]],
              told: `cosine between the tasks' features after the unit: ${alike.toFixed(3)}`};
    },
  },
  jacobians: {
    sliders: [["gain", 0.5, 1.6, 0.01, 0.9], ["steps T", 2, 60, 1, 30]],
    draw([gain, steps], {W, h, v}) {
      const tanh = Equations.jacobians(W, gain, h, v, steps, false), linear = Equations.jacobians(W, gain, h, v, steps, true);
      const plot = axes({x: [0, 60, "step t"], y: [1e-8, 1e8, "length of J v"], log: true}), ts = range(1, steps, steps);
      plot.curve(ts, linear, 1, "linear units");
      plot.curve(ts, tanh, 0, "tanh units");
      return {svg: plot.svg, values: [tanh[steps - 1], linear[steps - 1]],
              told: `after T = ${steps} steps a vector of length 1 has length ${short(linear[steps - 1])} with linear units and ${short(tanh[steps - 1])} with tanh`};
    },
  },
  terms: {
    sliders: [["depth L", 1, 32, 1, 16], ["gain", 0, 1.5, 0.01, 0.4]],
    draw([L, gain], {W1, W2, x, dE}) {
      const {identity, through, sum, plain} = Equations.twoTerms(W1, W2, gain, x, dE, L), ls = range(0, L, L + 1);
      const plot = axes({x: [0, 32, "block l"], y: [1e-4, 1e4, "norm"], log: true});
      plot.curve(ls, identity, 2, "identity term");
      plot.curve(ls, through, 1, "through the weights");
      plot.curve(ls, sum, 0, "their sum");
      return {svg: plot.svg, values: [identity[0], through[0], sum[0], plain[0]],
              told: `at x_0: identity term ${short(identity[0])}, through the weights ${short(through[0])}, their sum ${short(sum[0])}; without the identity ${short(plain[0])} would arrive`};
    },
  },
  uncertainty: {
    sliders: [["loss L1", 0.05, 8, 0.05, 4], ["loss L2", 0.05, 8, 0.05, 0.5], ["s1", -3, 3, 0.01, 0], ["s2", -3, 3, 0.01, 0]],
    draw([L1, L2, s1, s2]) {
      const one = Equations.uncertainty(L1, s1), two = Equations.uncertainty(L2, s2), ss = range(-3, 3, 121);
      const plot = axes({x: [-3, 3, "s = log of sigma squared"], y: [-2, 8, "what a task adds"]});
      plot.curve(ss, ss.map(s => Equations.uncertainty(L1, s).loss), 0, "task 1");
      plot.curve(ss, ss.map(s => Equations.uncertainty(L2, s).loss), 1, "task 2");
      plot.curve(ss, ss.map(s => Equations.uncertainty(L1, s, 1).loss), 2, "task 1, as printed");
      plot.point(s1, one.loss, 0);
      plot.point(s2, two.loss, 1);
      return {svg: plot.svg, values: [one.loss, one.weight, one.slope, two.loss, two.weight, two.slope],
              told: `weights ${short(one.weight)} and ${short(two.weight)}, slopes in s ${one.slope.toFixed(3)} and ${two.slope.toFixed(3)}, total ${(one.loss + two.loss).toFixed(3)}; the minima lie at s = log L = ${Math.log(L1).toFixed(3)} and ${Math.log(L2).toFixed(3)}`};
    },
  },
};

function start(section) {
  const figure = FIGURES[section.id], inputs = [];
  const draw = () => {
    const made = figure.draw(inputs.map(([input]) => +input.value), window.PLAY[section.id]);
    made.svg.setAttribute("aria-label", made.told);
    section.querySelector(".drawing").replaceChildren(made.svg);
    section.querySelector(".reading").textContent = made.told;
    section.dataset.values = JSON.stringify(made.values);
    for (const [input, output, shown] of inputs) output.textContent = shown(+input.value);
  };
  for (const [name, low, high, step, first, shown = short] of figure.sliders) {
    const label = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
    Object.assign(input, {type: "range", min: low, max: high, step, value: first, name});
    input.addEventListener("input", draw);
    label.append(document.createTextNode(name === "log10 tau" ? "tau" : name), input, output);
    section.querySelector(".sliders").append(label);
    inputs.push([input, output, shown]);
  }
  draw();
}

document.querySelectorAll(".play").forEach(start);
