"""Encoder and decoder in three forms, the translating transformer, the text autoencoder, and what all of them write."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.sequences.masking import BEGIN, END, tokens
from tinynet.check import gradcheck
from tinynet.data.text import padded, teacher
from tinynet.models.sequences.encoder_decoder import EncoderDecoder
from tinynet.models.sequences.generate import beam_search, best, generate
from tinynet.models.sequences.text_autoencoder import TextAutoencoder, between, noisy
from tinynet.models.sequences.transformer import Transformer
from tinynet.models.sequences.word_loss import real_tokens, start_at_frequencies

FORMS = {
    "before": lambda rng=0, dtype=float: EncoderDecoder(9, 8, 6, 5, 4, "before", rng=rng, dtype=dtype),
    "after": lambda rng=0, dtype=float: EncoderDecoder(9, 8, 6, 5, 4, "after", rng=rng, dtype=dtype),
    "plain": lambda rng=0, dtype=float: EncoderDecoder(9, 8, 6, 5, 4, None, rng=rng, dtype=dtype),
    "transformer": lambda rng=0, dtype=float: Transformer(9, 8, 8, 2, 2, 12, rng=rng, dtype=dtype),
}
EACH = pytest.mark.parametrize("form", FORMS)


def batch(seed=0, lengths=(5, 3, 4), target=(3, 5, 2)):
    rng = np.random.default_rng(seed)
    source, mask = padded([[*rng.integers(4, 9, n), END] for n in lengths])
    wanted, real = padded([[*rng.integers(4, 8, n), END] for n in target])
    return source, mask, *teacher(wanted, real)


class Loss(nn.Module):
    def __init__(self, net, data):
        self.net, self.data = net, data

    def forward(self, scale):
        return self.net.loss(*self.data) * scale


@EACH
def test_the_whole_nets_gradient(form):
    net = Transformer(6, 6, 4, 2, 1, 3, rng=0, dtype=float) if form == "transformer" else EncoderDecoder(
        6, 6, 2, 2, 2, None if form == "plain" else form, rng=0, dtype=float)
    source, mask = padded([[4, 5, END], [5, END]])
    gradcheck(Loss(net, (source, mask, *teacher(source, mask))), np.array([1.5])).raise_if_wrong()


@EACH
def test_a_sentences_scores_dont_depend_on_the_batch_it_is_in(form):
    net, (source, mask, inputs, _) = FORMS[form](), batch()
    y = net(source, mask, inputs).data
    alone = net(source[1:2, :4], None, inputs[1:2]).data
    np.testing.assert_allclose(y[1], alone[0], atol=1e-12)


@EACH
def test_step_by_step_the_scores_are_those_of_the_whole(form):
    net, (source, mask, inputs, _) = FORMS[form](), batch()
    features, state = net(source, mask, inputs), net.encode(source, mask)
    for t in range(inputs.shape[1]):
        state = net.step(inputs[:, t], state)
        whole = features[:, t]
        scores = net.output(whole).data if hasattr(net, "output") else whole.data @ net.target.E.data.T
        np.testing.assert_allclose(net.scores(state), scores, atol=1e-12)


@EACH
def test_it_learns_to_copy_and_writes_what_it_learnt(form):
    net = FORMS[form](dtype=np.float32)
    source, mask, _, _ = batch(lengths=(3, 2, 4))
    wanted = np.where(source >= 4, np.minimum(source, 7), source)
    data = source, mask, *teacher(wanted, mask)
    adam = optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        net.zero_grad()
        loss = net.loss(*data)
        loss.backward()
        optim.clip_grad_norm(net.parameters(), 1)
        adam.step()
    assert loss.item() < 0.05
    net.eval()
    with tn.no_grad():
        state = net.encode(source, mask)
        greedy = generate(net, [[BEGIN]] * 3, 8, best, (END,), state)
        beams = beam_search(net, state, size=3, longest=8)
    for row, m, g, b in zip(wanted, mask, greedy, beams, strict=True):
        np.testing.assert_array_equal(g, row[m][:-1])
        np.testing.assert_array_equal(b, row[m][:-1])


@pytest.mark.parametrize("form", ["before", "after"])
def test_the_map_is_a_distribution_over_the_sources_words(form):
    source, mask, inputs, _ = batch()
    alpha = FORMS[form]().map(source, mask, inputs)
    assert alpha.shape == (3, 6, 6)
    np.testing.assert_allclose(alpha.sum(axis=2), 1)
    assert not alpha[1, :, 4:].any()
    assert FORMS["plain"]().map(source, mask, inputs) is None


def test_only_real_words_reach_the_output_layer():
    h, wanted = real_tokens(tn.Tensor(np.arange(12.0).reshape(2, 3, 2)), np.array([[5, -1, -1], [4, 3, -1]]))
    np.testing.assert_array_equal(h.data, [[0, 1], [6, 7], [8, 9]])
    np.testing.assert_array_equal(wanted, [5, 4, 3])


def test_an_input_that_is_the_target_gives_the_answer_away():
    # csc321 erratum 13: teacher forcing off by one
    losses = {}
    source, mask, inputs, wanted = batch()
    for name, given in (("moved by one", inputs), ("not moved", np.maximum(wanted, 0))):
        net = FORMS["plain"](dtype=np.float32)
        adam = optim.Adam(net.parameters(), lr=0.02)
        rng = np.random.default_rng(0)
        for _ in range(80):
            words = np.where(wanted > END, rng.integers(4, 8, wanted.shape), wanted)       # nothing to be known
            net.zero_grad()
            loss = net.loss(source, mask, np.maximum(words, 0) if name == "not moved" else given, words)
            loss.backward()
            adam.step()
        losses[name] = loss.item()
    assert losses["not moved"] < 0.2 < 0.8 < losses["moved by one"]


# %% Text autoencoder
def test_the_autoencoders_gradient_and_its_code():
    net = TextAutoencoder(8, 2, 3, rng=0, dtype=float)
    sentences, mask = padded([[4, 5, 6, END], [7, END]])
    gradcheck(Loss(net, (sentences, mask, *teacher(sentences, mask))), np.array([1.0])).raise_if_wrong()
    np.testing.assert_allclose(net.encode(sentences, mask).data[1], net.encode(sentences[1:, :2]).data[0], atol=1e-13)


def test_noise_moves_no_word_further_than_the_distance_and_keeps_the_end():
    rng, sentence = np.random.default_rng(0), np.append(np.arange(4, 24), END)
    for _ in range(50):
        moved = noisy(sentence, rng, 30, distance=3, drop=0, blank=0, replace=0)
        assert moved[-1] == END
        assert sorted(moved) == sorted(sentence)
        assert abs(moved[:-1] - sentence[:-1]).max() <= 3
    np.testing.assert_array_equal(noisy(sentence, rng, 30, 0, 0, 0, 0), sentence)
    dropped = np.mean([len(noisy(sentence, rng, 30, 3, 0.1, 0, 0)) for _ in range(300)])
    assert 18.6 < dropped < 19.4
    assert len(noisy(np.array([5, END]), rng, 30, 3, 0.999, 0, 0)) == 2
    assert (noisy(sentence, rng, 30, 0, 0, 1.0, 0)[:-1] == 1).all()


def test_codes_between_two():
    line = between(np.zeros(2), np.array([4.0, 8.0]), 5)
    np.testing.assert_array_equal(line[[0, 1, 4]], [[0, 0], [1, 2], [4, 8]])


def test_bad_settings():
    with pytest.raises(ValueError, match="EncoderDecoder: attention is 'dot'"):
        EncoderDecoder(5, 5, attention="dot")
    with pytest.raises(ValueError, match=r"embedding: the token at position \(0, 0\) is 9"):
        FORMS["plain"]().encode(np.array([[9]]))


@pytest.mark.parametrize("net", [*(make() for make in FORMS.values()), TextAutoencoder(8, 4, 4, rng=0)],
                         ids=[*FORMS, "autoencoder"])
def test_sentences_that_cannot_be(net):
    name, words = type(net).__name__, np.full((2, 3), 4)
    for mask, said in ((tokens([1, 2], 2), r"mask has shape \(2, 2\), but x has \(B T\) = \(2, 3\)"),
                       (tokens([3, 0]), "sentence 1 has no tokens; leave it out, or give it at least an END")):
        with pytest.raises(ValueError, match=f"{name}: {said}"):
            net.encode(words, mask)
    for source, inputs in ((words[:, :0], words), (words, words[:, :0])):
        with pytest.raises(ValueError, match=f"{name}: sentence 0 has no tokens"):
            net(source, None, inputs)
    for source, inputs in ((words[0], words), (words, words[0])):
        with pytest.raises(ValueError, match=rf"{name}: the tokens have shape \(3,\), but must be \(B, T\)"):
            net(source, None, inputs)


@EACH
def test_a_batch_without_sentences_has_the_loss_0(form):
    none = np.zeros((0, 3), int)
    assert FORMS[form]().loss(none, none > 0, none, none).item() == 0


def test_an_output_layer_starts_at_the_words_shares():
    net = EncoderDecoder(9, 8, 6, 5, 4, rng=0)
    start_at_frequencies(net.output.b, np.array([3, 3, 7]))
    np.testing.assert_allclose(np.exp(net.output.b.data), np.array([1, 1, 1, 3, 1, 1, 1, 2]) / 11, rtol=1e-6)
    assert net.output.b.dtype == np.float32
