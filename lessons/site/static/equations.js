// The equations of the figures to play with, on plain arrays; a test compares each with tinynet's.
"use strict";

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const times = (W, x) => W.map(row => dot(row, x));                      // W x
const timesLeft = (y, W) => W[0].map((_, j) => y.reduce((sum, x, i) => sum + x * W[i][j], 0));      // y W
const norm = x => Math.sqrt(dot(x, x));

const Equations = {
  // csc321 context: alpha = softmax(K q / tau); entropy in nats
  attention(K, q, tau) {
    const scores = times(K, q).map(e => e / tau), most = Math.max(...scores);
    const parts = scores.map(e => Math.exp(e - most)), sum = parts.reduce((a, b) => a + b);
    const weights = parts.map(p => p / sum);
    return {weights, entropy: -weights.reduce((h, p) => h + (p > 0 ? p * Math.log(p) : 0), 0)};
  },

  // saha apl: h(x) = max(0, x) + sum_s a_s max(0, -x + b_s)
  apl(x, a, b) {
    return a.reduce((y, a_s, s) => y + a_s * Math.max(0, -x + b[s]), Math.max(0, x));
  },

  // tomaszewska fig7: Y[i] = sum_j A[i][j] X[j]
  crossStitch(X, A) {
    return A.map(row => X[0].map((_, n) => row.reduce((sum, a, j) => sum + a * X[j][n], 0)));
  },

  // csc321 rnn-jacobian: largest stretch |J v| of a fixed v, for J = prod_t diag(1 - h_t^2) W, of tanh or linear units
  jacobians(W, gain, h, v, steps, linear) {
    const norms = [norm(v)];
    for (let t = 1; t < steps; t++) {
      const z = times(W, h).map(x => gain * x);
      h = linear ? z : z.map(Math.tanh);
      v = times(W, v).map((x, i) => gain * x * (linear ? 1 : 1 - h[i] ** 2));
      norms.push(norm(v));
    }
    return norms;
  },

  // shi 1.3 and 1.6: x_{l+1} = x_l + gain W2_l tanh(W1_l x_l); the norms of the two terms of dE/dx_l and of their sum,
  // l = 0 ... L; without the identity, x_{l+1} = gain W2_l tanh(W1_l x_l), of dE/dx_l
  twoTerms(W1, W2, gain, x, dE, L) {
    const down = identity => {
      const slopes = [];
      let state = x, back = dE;
      for (let l = 0; l < L; l++) {
        const h = times(W1[l], state).map(Math.tanh), F = times(W2[l], h).map(f => gain * f);
        slopes.push(h.map(y => 1 - y * y));
        state = identity ? state.map((y, i) => y + F[i]) : F;
      }
      const all = [back];
      for (let l = L - 1; l >= 0; l--) {
        const dz = timesLeft(back, W2[l]).map((d, i) => gain * d * slopes[l][i]), through = timesLeft(dz, W1[l]);
        back = identity ? back.map((d, i) => d + through[i]) : through;
        all.unshift(back);
      }
      return all;
    };
    const total = down(true);
    return {
      identity: total.map(() => norm(dE)),
      through: total.map(d => norm(d.map((y, i) => y - dE[i]))),
      sum: total.map(norm),
      plain: down(false).map(norm),
    };
  },

  // tomaszewska uncertainty: l = exp(-s) L / 2 + s / 2, s = log sigma^2; as the slide prints it (erratum 4), without the 1/2
  uncertainty(L, s, factor = 0.5) {
    return {loss: factor * Math.exp(-s) * L + s / 2, weight: factor * Math.exp(-s), slope: 0.5 - factor * Math.exp(-s) * L};
  },
};

if (typeof module !== "undefined") module.exports = Equations;
