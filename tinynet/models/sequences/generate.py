"""Writing: a net reads what is there, a rule picks the next token, and the net reads that, too.

All rests on two methods of a net:

    step(tokens (B), state) -> state       the state after one more token of each of B sequences
    scores(state) -> (B, V)                logits of the token that comes next

A net may have `read(tokens (B, T), state) -> state` besides, which is `step` for T tokens at once, and a `context`, the
longest prompt that it can read.
Keys, values, annotations and masks are part of the state; so a step costs the same whatever the length, and a beam
search only has to choose rows of it.
"""

import os
import sys

import numpy as np

from tinynet.backend import no_grad
from tinynet.blocks.sequences.masking import BEGIN, END
from tinynet.blocks.sequences.state import chosen
from tinynet.blocks.units.softmax import log_sum_exp_forward, masked_softmax


# %% Rules that pick a token of each row of scores (B, V)
def best(scores):
    """The most probable one: greedy decoding."""
    return scores.argmax(axis=-1)


class Sampled:
    """A random one, by the probabilities softmax(scores / temperature) of those that are admitted.

    temperature  below 1 the probable ones gain, above 1 the improbable ones
    top_k        only the k most probable ones are admitted         Fan et al. 2018, arXiv:1805.04833
    top_p        only the fewest that have this much probability together           Holtzman et al. 2020, 1904.09751
    rng          a seed or np.random.Generator
    Raises ValueError for a temperature of 0 or less, top_k below 1 and top_p outside (0, 1].
    """

    def __init__(self, temperature=1.0, top_k=None, top_p=1.0, rng=None):
        if not temperature > 0 or (top_k is not None and top_k < 1) or not 0 < top_p <= 1:
            raise ValueError(f"Sampled: temperature {temperature}, top_k {top_k}, top_p {top_p}; give a temperature "
                             "above 0, a top_k of 1 or more and a top_p in (0, 1]; best picks the most probable token")
        self.temperature, self.top_k, self.top_p, self.rng = temperature, top_k, top_p, np.random.default_rng(rng)

    def probabilities(self, scores):
        """(B, V), 0 for tokens that aren't admitted."""
        z = np.asarray(scores, float) / self.temperature
        order = np.argsort(-z, axis=-1, kind="stable")
        p = masked_softmax(np.take_along_axis(z, order, -1))
        admitted = np.cumsum(p, axis=-1) - p < self.top_p           # the first one always
        if self.top_k is not None:
            admitted[:, self.top_k:] = False
        found = np.empty_like(p)
        np.put_along_axis(found, order, np.where(admitted, p, 0), -1)
        return found / found.sum(axis=-1, keepdims=True)

    def __call__(self, scores):
        reached = np.cumsum(self.probabilities(scores), axis=-1) / (1 + 1e-12)
        return np.minimum((reached < self.rng.random((len(scores), 1))).sum(axis=-1), scores.shape[-1] - 1)


# %% Going on
def generate(net, prompts, longest, pick=best, stop=(), state=None):
    """What the net writes after each prompt: a list of arrays of tokens, without the prompt and without the stop token.

    prompts   a list of sequences of tokens, of different lengths if need be; [BEGIN] for a decoder
    longest   the most tokens to write
    pick      `best`, or a `Sampled(...)`
    stop      tokens that end a sequence
    state     what the net knows beforehand, e.g. of `encode`; rows as in prompts

    All prompts go on together: while a prompt lasts its own tokens are read, after it those that were picked.
    Raises ValueError for a prompt without tokens or one longer than the net's context, TypeError for one that isn't of
    whole numbers.
    """
    written = [[] for _ in prompts]
    for new in token_by_token(net, prompts, longest, pick, stop, state):
        for row, token in new:
            written[row].append(token)
    return [np.array(w, np.int64) for w in written]


def token_by_token(net, prompts, longest, pick=best, stop=(), state=None):
    """What `generate` writes, while it writes: after each step a list of (row, token) of the sequences that go on."""
    prompts = _checked(prompts, getattr(net, "context", None))
    lengths = np.array([len(p) for p in prompts])
    with no_grad():
        state, read = _prefix(net, prompts, int(lengths.min()), state)
    counts, live = np.zeros(len(prompts), int), np.ones(len(prompts), bool)
    for t in range(read, int(lengths.max()) + longest):
        with no_grad():                     # not around `yield`: the reader's own steps are none of ours
            token = pick(np.asarray(net.scores(state)))
        new = []
        for row, prompt in enumerate(prompts):
            if t < len(prompt):
                token[row] = prompt[t]
            elif live[row] and counts[row] < longest and token[row] not in stop:
                new.append((row, int(token[row])))
                counts[row] += 1
            else:
                live[row] = False
        yield new
        if not live.any() or (counts[live] >= longest).all():
            return
        with no_grad():
            state = net.step(token, state)


def _checked(prompts, context):
    """The prompts as a list of arrays."""
    prompts = [np.asarray(p).reshape(-1) for p in prompts]
    if not prompts or min(map(len, prompts)) == 0:
        raise ValueError("generate: a prompt has no tokens, and a net must read one before it can go on; begin with "
                         "BEGIN, or with a line break where the net was trained on plain text")
    for row, prompt in enumerate(prompts):
        if prompt.dtype.kind not in "iu":
            raise TypeError(f"generate: prompt {row} holds {prompt.dtype}, but must be whole numbers; encode the text "
                            "by the vocabulary of this net")
        if context is not None and len(prompt) > context:
            raise ValueError(f"generate: prompt {row} has {len(prompt)} tokens, more than the context of {context}; "
                             "shorten it")
    return prompts


def text_after(net, prompt, coder, longest, pick=best, stop=()):
    """What the net writes after a prompt, as pieces of text while they are written; `coder` has encode and decode."""
    tokens = []
    for new in token_by_token(net, [coder.encode(prompt)], longest, pick, stop):
        tokens += [token for _, token in new]
        text = coder.decode(tokens)
        if not text.endswith("\ufffd"):     # the bytes of one character may come in several tokens
            yield text
            tokens = []


def show(prompt, pieces):
    """Print a prompt and what goes on after it, each piece as it comes.

    Returns the exit code: 0, 130 after Ctrl-C, 1 where the reader has seen enough (`... | head`).
    """
    code = 0
    try:
        for piece in pieces:            # the prompt waits for the first one: by then it has been found good
            print(prompt + piece, end="", flush=True)
            prompt = ""
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # for what Python flushes at its end
        return 1
    print(prompt)
    return code


def _prefix(net, prompts, shortest, state):
    """The state after the first `shortest` tokens of all prompts, and how many these are."""
    tokens = np.stack([p[:shortest] for p in prompts])
    if hasattr(net, "read"):
        return net.read(tokens, state), shortest
    for t in range(shortest):
        state = net.step(tokens[:, t], state)
    return state, shortest


def beam_search(net, state, size=5, longest=50, penalty=1.0, begin=BEGIN, stop=END):
    """The best of the sequences that a search with `size` hypotheses a row finds: a list of arrays, without `stop`.

    state     of B rows, e.g. of `encode`, or after all tokens of the prompts but the last
    begin     the token to go on from, one for all or (B) of them
    penalty   a sequence is judged by log-probability / length^penalty: 0 favours short ones (Wu et al. 2016, eq. 14)
    A row is done when one of its finished sequences is better than all that go on, judged at their present length.
    Raises ValueError for a size below 1 and for a state that doesn't tell of how many rows it is.
    """
    if size < 1:
        raise ValueError(f"beam_search: size is {size}, but a search needs at least 1 hypothesis; size=1 is greedy")
    if _rows(state) is None:
        raise ValueError("beam_search: the state is empty, so nothing tells how many rows there are; give that of "
                         "net.encode(...), or of net.read(...) after a prompt, whose last token is `begin`")
    with no_grad():
        state = net.step(np.full(_rows(state), begin), state)
        B, K, V = *np.shape(net.scores(state))[:1], size, np.shape(net.scores(state))[1]
        state = chosen(state, np.repeat(np.arange(B), K))
        total = np.where(np.arange(K) == 0, 0.0, -np.inf) * np.ones((B, 1))     # at first all K are one
        tokens = np.empty((B, K, 0), np.int64)
        finished = [[] for _ in range(B)]                                       # (score, tokens)
        for length in range(1, longest + 1):
            scores = np.asarray(net.scores(state), float)
            log_p = scores - log_sum_exp_forward(scores)[0][:, None]
            candidates = (total[..., None] + log_p.reshape(B, K, V)).reshape(B, K * V)
            top = np.argsort(-candidates, axis=1, kind="stable")[:, :2 * K]     # K of them don't end
            rows, words, total = _go_on(top, candidates, tokens, finished, K, V, length ** penalty, stop)
            tokens = np.concatenate([np.take_along_axis(tokens, rows[..., None], 1), words[..., None]], axis=2)
            if all(_done(f, t, length ** penalty) for f, t in zip(finished, total, strict=True)):
                break
            state = net.step(words.reshape(-1), chosen(state, (rows + K * np.arange(B)[:, None]).reshape(-1)))
        for b in range(B):                      # what isn't finished is judged as it stands, if nothing else is there
            finished[b] = finished[b] or [(total[b, 0], tokens[b, 0])]
    return [max(found, key=lambda pair: pair[0])[1] for found in finished]


def _go_on(top, candidates, tokens, finished, K, V, measure, stop):
    """Of each row's best candidates those that end go to `finished`; the first K others are kept."""
    B = len(top)
    rows, words, total = np.zeros((B, K), np.int64), np.zeros((B, K), np.int64), np.full((B, K), -np.inf)
    for b in range(B):
        kept = 0
        for rank, candidate in enumerate(top[b]):
            row, word, score = candidate // V, candidate % V, candidates[b, candidate]
            if word == stop:
                if rank < K and np.isfinite(score):
                    finished[b].append((score / measure, tokens[b, row]))
            elif kept < K:
                rows[b, kept], words[b, kept], total[b, kept] = row, word, score
                kept += 1
    return rows, words, total


def _done(found, total, measure):
    """Is a finished sequence better than all that go on, judged as they stand?"""
    return bool(found) and max(score for score, _ in found) > total.max() / measure


def _rows(state):
    """How many sequences a state holds."""
    for part in state if isinstance(state, tuple) else (state,):
        found = None if part is None else _rows(part) if isinstance(part, tuple) else part.shape[0]
        if found is not None:
            return found
    return None
