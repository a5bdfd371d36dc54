"""How the sequence models of the tables are trained and measured: Multi30k, tiny Shakespeare, the embedded text.

Slides: csc321 length, seq2seq, context, lm, transformer

Each recipe is `run(seed, folder, data) -> {column: value}`: `folder` keeps its checkpoint, so that a run that was
stopped goes on where it was and ends, bit for bit, where it would have ended; `data` holds the real files.  A curve is
a column whose value is a list, over the axis that COLUMNS names.
"""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.pool import MaxPool
from tinynet.blocks.sequences.masking import BEGIN, END
from tinynet.blocks.units.activations import ReLU
from tinynet.bridges.efficient_net import SHA256 as WEIGHTS
from tinynet.bridges.efficient_net import efficient_net_lite0
from tinynet.data import files
from tinynet.data.flickr8k import PARTS, caption_words, flickr8k
from tinynet.data.flickr8k import SHA256 as PICTURES
from tinynet.data.images import doubled, flip
from tinynet.data.multi30k import in_words, joined, multi30k
from tinynet.data.shakespeare import shakespeare, split
from tinynet.data.text import Characters, Vocabulary, detokenised, padded, teacher
from tinynet.metrics import bleu
from tinynet.models.sequences.caption_net import CaptionNet, PixelEncoder
from tinynet.models.sequences.encoder_decoder import EncoderDecoder
from tinynet.models.sequences.generate import beam_search, best, generate
from tinynet.models.sequences.language_model import Carried, LanguageModel, nats
from tinynet.models.sequences.transformer import GPT, Transformer
from tinynet.models.sequences.word_loss import start_at_frequencies
from tinynet.train.batches import ByLength, Generated, Shuffled, Streams, Windows
from tinynet.train.loop import fit
from tinynet.train.rules import EarlyStopping

# %% Multi30k, German to English: trained on 1 to 3 joined pairs, tested on 1 to 4
BINS = (1, 10, 15, 20, 25, 30, 35, 40, 50, 60)          # words of the source, csc321 length
COLUMNS = {"BLEU by words": BINS, "perplexity by words": BINS, "validation loss": "epoch"}
LEAST, SIZE, EPOCHS = 4, 48, 7
# what sacrebleu says of how a BLEU was taken, but for its version; a ledger holds numbers alone
SIGNATURE = {"none": "nrefs:1|case:lc|eff:no|tok:none|smooth:exp", "13a": "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp",
             "captions": "nrefs:5|case:lc|eff:no|tok:none|smooth:exp"}


@lru_cache(maxsize=1)
def pairs(data):
    """{part: (sources, targets)} in words, and both vocabularies, from the training part alone."""
    parts = {part: in_words(multi30k(part, root=data)) for part in ("train", "val", "test_2016_flickr")}
    return parts, *(Vocabulary.of(side, least=LEAST) for side in parts["train"])


class Joined:
    """Batches for fit: every epoch each pair once, joined anew in groups of 1 to 3, sorted by length in pools."""

    def __init__(self, sources, targets, german, english, most=3):
        self.sources, self.targets, self.german, self.english, self.most = sources, targets, german, english, most

    def _batches(self, rng):
        found = joined(self.sources, self.targets, rng, self.most)
        return ByLength(coded(*found, self.german, self.english), SIZE)

    def __len__(self):
        return -(-len(self.sources) * 2 // (self.most + 1) // SIZE)

    def epoch(self, rng):
        """As many batches as `len` says: the number of groups differs a little from epoch to epoch."""
        left = len(self)
        while left:
            for batch in self._batches(rng).epoch(rng):
                yield batch
                left -= 1
                if not left:
                    break

    def describe(self):
        return {"size": SIZE, "pairs": len(self.sources), "most": self.most}


def coded(sources, targets, german, english):
    return [(german.encode(s), english.encode(t)) for s, t in zip(sources, targets, strict=True)]


def translation_loss(net, source, mask, target, real):
    return net.loss(source, mask, *teacher(target, real)), int(real.sum())


NETS = {
    "GRU, attention before the step": partial(EncoderDecoder, attention="before", p=0.2),
    "GRU, attention after the step": partial(EncoderDecoder, attention="after", p=0.2),
    "GRU, no attention": partial(EncoderDecoder, attention=None, p=0.2),
    "transformer": partial(Transformer, p=0.1, smoothing=0.1),
}


def halved_late(t):
    """The learning rate of the recurrent nets: half in the sixth epoch, a fifth in the seventh."""
    return 1.0 if t < 5 else 0.5 if t < 6 else 0.2


def translation(name, seed, folder, data, epochs=EPOCHS, test_sentences=1000):
    """Perplexity, BLEU of 1 to 4 joined sentences, BLEU and perplexity by the source's words, and BLEU of a beam."""
    parts, german, english = pairs(data)
    net = NETS[name](len(german), len(english), rng=seed)
    if name != "transformer":
        start_at_frequencies(net.output.b, np.concatenate([english.encode(words) for words in parts["train"][1]]))
    train = Joined(*parts["train"], german, english)
    val = ByLength(coded(*parts["val"], german, english), SIZE)
    if name == "transformer":
        adam = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
        total = 2 * epochs
        schedule = optim.WarmUp(total / 7, optim.CosineDecay(total * 6 / 7, end=0.05))
    else:
        adam, schedule, total = optim.Adam(net.parameters(), lr=3e-3), halved_late, epochs
    history = fit(net, translation_loss, train, adam, epochs=total, val=val, schedule=schedule, clip=1, rng=seed,
                  checkpoint=Path(folder) / "run.npz", progress=False)
    net.eval()
    test = [side[:test_sentences] for side in parts["test_2016_flickr"]]
    found = {"validation loss": history["val_loss"], **by_joining(net, test, german, english)}
    outputs = translated(net, test[0], german, english, beam=5)
    found["BLEU, beam 5"] = bleu(*lines(outputs, test[1]), "none")[0]
    found["BLEU, beam 5, 13a"], found["signature"] = bleu(
        [detokenised(o) for o in outputs], [detokenised(t) for t in test[1]])
    return found


def by_joining(net, test, german, english):
    """Columns for 1, 2, 3 and 4 joined sentences, and by the words of the source over all of them."""
    found, everything = {}, []
    for several in (1, 2, 3, 4):
        sources, targets = ([[w for s in side[i:i + several] for w in s] for i in range(0, len(side), several)]
                            for side in test)
        outputs = translated(net, sources, german, english)
        losses = token_losses(net, sources, targets, german, english)
        found[f"BLEU x{several}"] = bleu(*lines(outputs, targets), "none")[0]
        found[f"perplexity x{several}"] = perplexity(losses)
        everything += list(zip(sources, targets, outputs, losses, strict=True))
    places = np.digitize([len(s) for s, *_ in everything], BINS)
    bins = [[row for row, place in zip(everything, places, strict=True) if place == i + 1] for i in range(len(BINS))]
    found["BLEU by words"] = [bleu(*lines([o for *_, o, _ in b], [t for _, t, *_ in b]), "none")[0] for b in bins if b]
    found["perplexity by words"] = [perplexity([loss for *_, loss in b]) for b in bins if b]
    return found


def lines(outputs, targets):
    return [" ".join(o) for o in outputs], [" ".join(t) for t in targets]


def translated(net, sources, german, english, beam=None, size=50):
    """What the net writes for these sentences, in words; similar lengths together, in the order that was given."""
    order, found = np.argsort([len(s) for s in sources], kind="stable"), [None] * len(sources)
    for first in range(0, len(order), size):
        rows = order[first:first + size]
        source, mask = padded([german.encode(sources[i]) for i in rows])
        longest = 2 * source.shape[1] + 10
        with tn.no_grad():
            state = net.encode(source, mask)
            written = (beam_search(net, state, beam, longest) if beam else
                       generate(net, [[BEGIN]] * len(rows), longest, best, (END,), state))
        for row, numbers in zip(rows, written, strict=True):
            found[row] = english.decode(numbers)
    return found


def token_losses(net, sources, targets, german, english):
    """(sum of the losses in nats, number of tokens) of each pair."""
    with tn.no_grad():
        found = []
        for source, target in coded(sources, targets, german, english):
            loss, count = translation_loss(net, *padded([source]), *padded([target]))
            found.append((loss.item() * count, count))
    return found


def perplexity(losses):
    total, count = np.sum(losses, axis=0)
    return float(np.exp(total / count))


# %% Tiny Shakespeare at nanoGPT's small setting: github.com/karpathy/nanoGPT, "I only have a macbook"
def shakespeare_gpt(seed, folder, data, steps=2000):
    """Validation loss in nats over all windows; expected 1.905 +- .011 (PyTorch), as the README's 1.88 is one draw."""
    text = shakespeare(data, whole=True)
    letters = Characters(text)
    train, held_out = (letters.encode(part) for part in split(text))
    net = GPT(len(letters), 64, 128, 4, 4, bias=False, rng=seed)
    # nanoGPT decays the matrices alone; here the norms' gains decay, too: 1,152 of 804,096 numbers
    adam = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    history = fit(net, lambda net, x, y: (net.loss(x, y), y.size), Windows(train, 64, 12), adam, steps=steps,
                  every=max(steps // 8, 1), val=Windows(held_out, 64, 100), schedule=warm_cosine(steps), clip=1,
                  rng=seed, checkpoint=Path(folder) / "run.npz", progress=False)
    return {"validation loss": history["val_loss"][-1], "curve": history["val_loss"]}


def warm_cosine(steps, warm=100, end=0.1):
    """nanoGPT's schedule: (t + 1) / 101 for 100 steps, then half a cosine down to a tenth at the last step."""
    def factor(t):
        if t < warm:
            return (t + 1) / (warm + 1)
        return end + (1 - end) * 0.5 * (1 + np.cos(np.pi * min((t - warm) / max(steps - warm, 1), 1)))
    return factor


# %% The embedded text, a GRU of 128 letter by letter; the state is carried over
def character_gru(seed, folder, data=None, epochs=11):
    """Validation loss in nats of the last tenth; expected 1.67 (PyTorch, 700 steps)."""
    text = shakespeare()
    letters = Characters(text)
    train, held_out = (letters.encode(part) for part in split(text))
    net = LanguageModel(len(letters), 64, 128, rng=seed)
    fit(Carried(net, 32), Carried.loss, Streams(train, 32, 64), optim.Adam(net.parameters(), lr=3e-3), epochs=epochs,
        schedule=lambda t: 1 - t / epochs, clip=1, checkpoint=Path(folder) / "run.npz", progress=False)
    return {"validation loss": nats(net, held_out)}


# %% Flickr8k, pictures of 56 x 56: everything learnt from scratch, or the features of a net that knows ImageNet
def picture_net(rng):
    """Seven convolutions: (B, 3, 56, 56) -> (B, 128, 7, 7), 49 places."""
    layers, before = [], 3
    for channels, stride, pooled in ((32, 2, False), (32, 1, True), (64, 1, False), (64, 1, True), (128, 1, False),
                                     (128, 1, False)):
        layers += [Conv(before, channels, 3, stride=stride, padding=1, bias=False, rng=rng),
                   BatchNorm(channels, relu=True), *([MaxPool(2)] if pooled else [])]
        before = channels
    return nn.Sequential(*layers)


def scaled(images):
    return (images / np.float32(127.5) - 1).astype(np.float32)


def features(part, images):
    """float16 (N, 112, 7, 7): what EfficientNet-Lite0 makes of these pictures of 56 x 56, doubled, in five stages."""
    def made():
        net, found = efficient_net_lite0(), []
        with tn.no_grad():
            for first in range(0, len(images), 50):
                X = (images[first:first + 50] - np.float32(127)) / np.float32(128)
                found.append(net.features(doubled(X), stages=5).data.astype(np.float16))
        return {"features": np.concatenate(found)}

    return files.kept(f"flickr8k_{part}_features", PICTURES | WEIGHTS, 1, made)["features"]


def flickr_captions(seed, folder, data, epochs=20, least=5, size=50):
    """A net for pictures and one for captions, both from scratch; an epoch has every caption about once."""
    parts, rng = {part: flickr8k(part, data) for part in PARTS}, np.random.default_rng(seed)
    images = {part: found.images for part, found in parts.items()}
    return captions(parts, images, lambda X, rng: flip(scaled(X), rng), scaled, picture_net(rng), rng, seed, folder,
                    epochs, each=5, least=least, size=size)


def flickr_frozen(seed, folder, data, epochs=30, least=5, size=50):
    """Captions from features that stay as they are, one layer of 128 units on each place; an epoch has one caption of
    every picture.
    """
    parts, rng = {part: flickr8k(part, data) for part in PARTS}, np.random.default_rng(seed)
    found = {part: features(part, each.images) for part, each in parts.items()}
    known = found["train"].astype(np.float32)           # a channel's deviation is about 6, too much for a GRU's input
    mean, deviation = (known.mean(axis=(0, 2, 3))[:, None, None], known.std(axis=(0, 2, 3))[:, None, None])
    places = nn.Sequential(Conv(112, 128, 1, rng=rng), ReLU())

    def even(X, rng=None):
        return (X.astype(np.float32) - mean) / np.maximum(deviation, 1e-6)

    return captions(parts, found, even, even, places, rng, seed, folder, epochs, each=1, least=least, size=size)


def captions(parts, seen, training, testing, places, rng, seed, folder, epochs, each, least, size):
    """BLEU-1 to 4 against five references, the constant caption's beside them, and how many captions differ.

    seen               what the net sees of a part's pictures
    training, testing  what is made of a batch of it: (X, rng) -> X, X -> X
    places             the net of the places, 128 features each
    each               how many captions of a picture an epoch has
    A batch has one of each picture's captions; the weights of the lowest dev loss are kept.
    """
    spoken = [[caption_words(c) for c in captions] for captions in parts["train"].captions]
    vocabulary = Vocabulary.of([c for captions in spoken for c in captions], least=least)
    numbers = [[vocabulary.encode(c) for c in captions] for captions in spoken]

    def batch(rng):
        rows = rng.integers(len(numbers), size=size)
        images = training(seen["train"][rows], rng)
        return images, *teacher(*padded([numbers[i][rng.integers(5)] for i in rows]))

    net = CaptionNet(PixelEncoder(places), 128, len(vocabulary), 96, 192, 64, p=0.3, rng=rng)
    start_at_frequencies(net.output.b, np.concatenate([caption for captions in numbers for caption in captions]))
    first = padded([vocabulary.encode(caption_words(captions[0])) for captions in parts["dev"].captions])
    val = Shuffled((testing(seen["dev"]), *teacher(*first)), 100)
    steps = -(-len(numbers) * each // size)
    fit(net, lambda net, *batch: (net.loss(*batch), int((batch[2] >= 0).sum())), Generated(batch, steps),
        optim.Adam(net.parameters(), lr=2e-3), epochs=epochs, val=val, schedule=optim.CosineDecay(epochs, end=0.05),
        clip=1, rng=seed, rule=EarlyStopping(4), checkpoint=Path(folder) / "run.npz", progress=False)
    net.eval()
    references = [[caption_words(c) for c in captions] for captions in parts["test"].captions]
    return described(net, testing(seen["test"]), references, vocabulary)


# What a net writes about every picture after its first epoch. It scores far better than the commonest caption. A net
# that scores no better than this caption has learnt nothing from the pictures.
CONSTANT = "a man in a blue shirt is standing on a ball"


def described(net, images, references, vocabulary):
    """The columns of what the net writes about these pictures, greedily, and of one caption for all of them."""
    outputs = []
    with tn.no_grad():
        for first in range(0, len(images), 100):
            part = images[first:first + 100]
            outputs += [vocabulary.decode(o) for o in generate(net, [[BEGIN]] * len(part), 25, best, (END,),
                                                                net.encode(part))]
    right, found = [[" ".join(r) for r in several] for several in references], {}
    for n in (1, 2, 3, 4):
        found[f"BLEU-{n}"] = bleu([" ".join(o) for o in outputs], right, "none", order=n)[0]
        found[f"BLEU-{n} of one caption"] = bleu([CONSTANT] * len(right), right, "none", order=n)[0]
    return found | {"distinct captions": len(set(map(tuple, outputs)))}


RUNS = {"multi30k": {name: partial(translation, name) for name in NETS},
        "shakespeare": {"nanoGPT's small setting": shakespeare_gpt}, "characters": {"GRU of 128": character_gru},
        "flickr8k": {"from scratch at 56 x 56": flickr_captions},
        "flickr8k features": {"frozen features of EfficientNet-Lite0": flickr_frozen}}
