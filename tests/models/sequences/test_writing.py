"""Language models, and how they write: greedy, sampled, by beams, with a cache, from several prompts."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.sequences.state import detached
from tinynet.check import gradcheck
from tinynet.models.sequences.generate import Sampled, beam_search, best, generate, show, text_after, token_by_token
from tinynet.models.sequences.language_model import Carried, LanguageModel, nats
from tinynet.models.sequences.transformer import GPT
from tinynet.train.batches import Streams
from tinynet.train.loop import fit

NETS = {
    "gru": lambda: LanguageModel(7, 4, 5, rng=0),
    "lstm, stacked": lambda: LanguageModel(7, 4, 5, cell="lstm", layers=2, rng=0),
    "gpt": lambda: GPT(7, 12, 8, 2, 2, rng=0),
    "gpt, rotary": lambda: GPT(7, 12, 8, 2, 2, bias=False, positions="rotary", rng=0),
}
EACH = pytest.mark.parametrize("net", [make().eval() for make in NETS.values()], ids=NETS)
TEXT = np.random.default_rng(0).integers(7, size=(3, 9))


def whole(net, text):
    y = net(text)
    return (y[0] if isinstance(y, tuple) else y).data


# %% Nets
@EACH
def test_step_by_step_and_read_at_once_the_scores_are_those_of_the_whole(net):
    scores, state = whole(net, TEXT), None
    for t in range(9):
        state = net.step(TEXT[:, t], state)
        np.testing.assert_allclose(net.scores(state), scores[:, t], atol=2e-6)
    np.testing.assert_allclose(net.scores(net.read(TEXT, None)), scores[:, -1], atol=2e-6)


@EACH
def test_it_doesnt_look_ahead(net):
    other = TEXT.copy()
    other[:, 5:] = (other[:, 5:] + 1) % 7
    np.testing.assert_allclose(whole(net, TEXT)[:, :5], whole(net, other)[:, :5], atol=1e-6)


class Loss(nn.Module):
    def __init__(self, net):
        self.net = net

    def forward(self, scale):
        loss = self.net.loss(TEXT[:, :-1], TEXT[:, 1:])
        return (loss[0] if isinstance(loss, tuple) else loss) * scale


@pytest.mark.parametrize("net", [
    LanguageModel(7, 2, 3, rng=0, dtype=float), GPT(7, 9, 4, 2, 1, rng=0, dtype=float),
    GPT(7, 9, 4, 2, 1, bias=False, positions="rotary", rng=0, dtype=float)], ids=["gru", "gpt", "gpt, rotary"])
def test_the_whole_nets_gradient(net):
    gradcheck(Loss(net), np.array([1.0])).raise_if_wrong()


def test_nanogpts_small_form_has_its_number_of_parameters():
    net = GPT(65, 64, 128, 4, 4, bias=False, rng=0)
    assert sum(p.size for p in net.parameters()) == 804_096
    assert not any(name.endswith(".b") or name.endswith("bias") for name, _ in net.named_parameters())
    E, out = net.embedding.E.data, net.blocks[0].attention.out.W.data
    assert E.std() == pytest.approx(0.02, rel=0.05)
    assert out.std() == pytest.approx(0.02 / np.sqrt(8), rel=0.05)
    assert sum(p.size for p in GPT(65, 64, 128, 4, 4, rng=0).parameters()) > 804_096


def test_targets_that_dont_count_are_left_out():
    net, targets = GPT(7, 12, 8, 2, 1, rng=0), TEXT[:, 1:].copy()
    full = net.loss(TEXT[:, :4], targets[:, :4]).item()
    targets[:, 4:] = -1
    assert net.loss(TEXT[:, :-1], targets).item() == pytest.approx(full, rel=1e-5)


def test_a_language_model_that_is_carried_over_remembers_the_batch_before():
    text, net = np.arange(41), LanguageModel(41, 4, 5, layers=2, cell="lstm", rng=0)
    reader, state = Carried(net, 2), None
    for (x, y, begins), _ in Streams(text, 2, 5).epoch(None):
        expected, state = net.loss(x, y, state and detached(state))
        assert reader.loss(x, y, begins).item() == expected.item()
    assert reader.loss(x, y).item() != reader.loss(x, y, begins=False).item()
    assert nats(net, text, T=7) == pytest.approx(nats(net, text, T=100), rel=1e-5)


def test_evaluation_carries_a_state_of_its_own():
    text, net = np.arange(41), LanguageModel(41, 4, 5, rng=0)
    reader, state = Carried(net, 2), None
    (x, y, begins), _ = next(Streams(text, 2, 5).epoch(None))
    reader.loss(x, y, begins)
    kept = reader.state_dict()
    assert any(name.startswith("state") and kept[name].any() for name in kept)
    for (x, y, begins), _ in Streams(text, 1, 7).epoch(None):
        expected, state = net.loss(x, y, state and detached(state))
        assert reader.eval().loss(x, y, begins).item() == expected.item()
    assert all((a == kept[name]).all() for name, a in reader.state_dict().items())


def test_training_with_a_carried_state_goes_on_in_the_middle_of_an_epoch_bit_for_bit(tmp_path):
    def trained(steps, **more):
        net = LanguageModel(41, 4, 5, rng=0)
        data = Streams(np.arange(400) % 41, 4, 9)
        fit(Carried(net, 4), Carried.loss, data, optim.Adam(net.parameters(), lr=0.01), steps=steps, every=7, clip=1,
            progress=False, **more)
        return net.state_dict()
    whole = trained(21)
    trained(14, checkpoint=tmp_path / "run.npz")
    gone_on = trained(21, checkpoint=tmp_path / "run.npz")
    assert all((whole[name] == gone_on[name]).all() for name in whole)


def test_a_gpt_learns_a_sentence_by_heart_and_writes_it_beyond_its_context():
    sentence = np.array([0, 1, 2, 3, 4, 5, 6] * 8)
    net = GPT(7, 14, 16, 2, 1, rng=0)
    adam = optim.Adam(net.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    for _ in range(150):
        first = rng.integers(len(sentence) - 15, size=8)
        windows = sentence[first[:, None] + np.arange(15)]
        net.zero_grad()
        loss = net.loss(windows[:, :-1], windows[:, 1:])
        loss.backward()
        adam.step()
    written, = generate(net.eval(), [[3, 4, 5]], 40)
    np.testing.assert_array_equal(written, (6 + np.arange(40)) % 7)
    assert net.maps(windows[:1, :5]).shape == (1, 1, 2, 5, 5)


# %% Rules
def test_temperature_top_k_and_top_p():
    scores = np.log([[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(Sampled().probabilities(scores), [[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(Sampled(top_k=2).probabilities(scores), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(Sampled(top_p=0.75).probabilities(scores), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(Sampled(top_p=0.81).probabilities(scores), [[0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]])
    np.testing.assert_allclose(Sampled(top_p=0.01).probabilities(scores), [[1, 0, 0, 0]])
    cold = np.array([0.5, 0.3, 0.15, 0.05]) ** 4
    np.testing.assert_allclose(Sampled(0.25).probabilities(scores), [cold / cold.sum()])


def test_samples_come_as_often_as_they_should():
    pick = Sampled(rng=0)
    drawn = pick(np.repeat(np.log([[0.5, 0.3, 0.2]]), 20_000, axis=0))
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [0.5, 0.3, 0.2], atol=0.015)
    assert (Sampled(top_k=1, rng=0)(np.random.default_rng(0).normal(size=(50, 9))) ==
            np.random.default_rng(0).normal(size=(50, 9)).argmax(axis=1)).all()


@EACH
def test_prompts_of_different_lengths_go_on_as_if_alone(net):
    prompts = [[1, 2, 3, 4], [5], [6, 0]]
    together = generate(net, prompts, 5)
    for prompt, found in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(found, generate(net, [prompt], 5)[0])
        assert len(found) == 5


@EACH
def test_a_stop_token_ends_its_own_sequence_only(net):
    free = generate(net, [[1], [5]], 6)
    stop = int(free[0][0])
    stopped = generate(net, [[1], [5]], 6, stop=(stop,))
    assert len(stopped[0]) == 0
    other = free[1].tolist()
    np.testing.assert_array_equal(stopped[1], other[:other.index(stop)] if stop in other else other)


def test_tokens_come_one_by_one_and_the_tape_stays_on_between_them():
    net = NETS["gru"]().eval()
    steps = token_by_token(net, [[1, 2], [5]], 4)
    seen = [next(steps)]
    assert net(TEXT)[0].requires_grad           # the reader may train in between
    seen += steps
    together = generate(net, [[1, 2], [5]], 4)
    for row in (0, 1):
        assert [token for new in seen for r, token in new if r == row] == together[row].tolist()
    assert all(len(new) <= 2 for new in seen)


class Bytes:
    """Text as its UTF-8 bytes: a letter may need several tokens."""

    def encode(self, text):
        return list(text.encode())

    def decode(self, tokens):
        return bytes(tokens).decode(errors="replace")


def test_a_letter_is_handed_out_when_all_its_bytes_are_there():
    text = "añ€a"                               # each byte of it comes surely after the one before
    order = list(text.encode())
    after = np.full((256, 256), 1e-9)
    after[order[:-1], order[1:]] = 1
    assert list(text_after(Table(after), "a", Bytes(), len(order) - 1)) == ["ñ", "€", "a"]


def test_what_is_written_is_shown_behind_its_prompt(capsys):
    assert show("a ", iter(["b", " c"])) == 0
    assert capsys.readouterr().out == "a b c\n"
    assert show("a", iter([])) == 0
    assert capsys.readouterr().out == "a\n"


class Table:
    """A net whose next scores depend on the last token alone."""

    def __init__(self, probabilities):
        self.table = np.log(np.array(probabilities))

    def step(self, tokens, state):
        return tn.Tensor(tokens.astype(float))

    def scores(self, state):
        return self.table[np.asarray(state).astype(int)]


def test_a_beam_finds_what_greedy_misses():
    # 0 begins, 3 ends; greedy takes 1 (.6) and then has only poor ways on, 2 (.4) goes on surely
    net = Table([[1e-9, 0.6, 0.4, 1e-9], [0.3, 0.3, 0.3, 0.1], [1e-9, 1e-9, 1e-9, 1], [1, 1, 1, 1]])
    begin = tn.Tensor(np.zeros(2))
    greedy = generate(net, [[0]], 3, stop=(3,))[0]
    assert greedy[0] == 1
    for found in beam_search(net, begin, size=2, longest=3, begin=0, stop=3):
        np.testing.assert_array_equal(found, [2])


def test_a_beam_of_one_is_greedy():
    rng = np.random.default_rng(1)
    p = rng.random((6, 6))
    net = Table(p / p.sum(axis=1, keepdims=True))
    for begin in range(4):
        greedy, = generate(net, [[begin]], 7, stop=(5,))
        beam, = beam_search(net, tn.Tensor(np.zeros(1)), size=1, longest=7, begin=begin, stop=5)
        np.testing.assert_array_equal(greedy, beam)


@EACH
def test_a_beam_goes_on_from_prompts(net):
    prompts = np.array([[1, 2, 3], [4, 5, 6]])
    beams = beam_search(net, net.read(prompts[:, :-1], None), 1, 5, begin=prompts[:, -1], stop=0)
    for beam, greedy in zip(beams, generate(net, list(prompts), 5, stop=(0,)), strict=True):
        np.testing.assert_array_equal(beam, greedy)


def test_the_penalty_chooses_between_short_and_long():
    # 3 ends; 1 goes on to 2 and then ends: log .3 alone, or log .7 + log .5 + log .8
    net = Table([[1e-9, 0.7, 1e-9, 0.3], [1e-9, 1e-9, 0.5, 0.5], [1e-9, 0.2, 1e-9, 0.8], [1, 1, 1, 1]])
    found = {penalty: len(beam_search(net, tn.Tensor(np.zeros(1)), 3, 6, penalty, 0, 3)[0]) for penalty in (0.0, 1.0)}
    assert found[0.0] < found[1.0]


# %% Bad input
@pytest.mark.parametrize(("call", "said"), [
    (lambda: generate(NETS["gru"](), [[]], 3), "generate: a prompt has no tokens"),
    (lambda: generate(NETS["gru"](), [], 3), "generate: a prompt has no tokens"),
    (lambda: generate(NETS["gru"](), [[7]], 3), "embedding: the token at position .* is 7"),
    (lambda: generate(NETS["gpt"](), [[1, 2], [1] * 13], 3), "generate: prompt 1 has 13 tokens, more than the context"),
    (lambda: NETS["gpt"]().read(np.ones((1, 13), int)), "GPT: a prompt of 13 tokens is longer than the context of 12"),
    (lambda: NETS["gpt"]()(np.zeros((1, 13), int)), "GPT: 13 tokens are more than the context of 12"),
    (lambda: NETS["gpt"]()(TEXT[0]), r"GPT: the tokens have shape \(9,\), but must be \(B, T\)"),
    (lambda: NETS["gpt"]().read(TEXT[0]), r"GPT: the tokens have shape \(9,\), but must be \(B, T\)"),
    (lambda: LanguageModel(7, rng=0)(TEXT[0]), r"LanguageModel: the tokens have shape \(9,\), but must be \(B, T\)"),
    (lambda: LanguageModel(7, rng=0)(TEXT[:, :0]), "LanguageModel: sentence 0 has no tokens"),
    (lambda: nats(NETS["gru"](), np.array([1])), "nats: the text has 1 token"),
    (lambda: Sampled(0), "Sampled: temperature 0"),
    (lambda: Sampled(top_p=0), "Sampled: .*top_p 0"),
    (lambda: beam_search(Table([[1]]), tn.Tensor(np.zeros(1)), 0), "beam_search: size is 0"),
    (lambda: beam_search(NETS["gru"](), None, 2), "beam_search: the state is empty"),
    (lambda: LanguageModel(5, cell="lru"), "LanguageModel: there is no cell 'lru'"),
    (lambda: GPT(5, positions="sine"), "GPT: positions are 'sine'"),
])
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("prompt", [[1.5, 2.0], "text", [True]])
def test_a_prompt_that_isnt_of_tokens(prompt):
    with pytest.raises(TypeError, match=r"generate: prompt 1 holds .* must be whole numbers; encode the text"):
        generate(NETS["gru"](), [[1], prompt], 3)


def test_greedy_is_repeatable_and_sampling_by_seed():
    net = NETS["gpt"]().eval()
    np.testing.assert_array_equal(generate(net, [[1]], 8, best)[0], generate(net, [[1]], 8, best)[0])
    first, second = (generate(net, [[1]], 8, Sampled(rng=3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
