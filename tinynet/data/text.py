"""Text and whole numbers: words, a vocabulary, padding, and the way back.

    >>> vocabulary = Vocabulary.of([words("A dog runs."), words("A dog sleeps.")])
    >>> vocabulary.encode(words("A cat runs!")), vocabulary.decode([4, 5, 7, 3, 0])
    (array([5, 1, 7, 1, 3]), ['.', 'a', 'runs'])
"""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from tinynet.blocks.sequences.masking import BEGIN, END, PAD, UNKNOWN
from tinynet.shapes import sizes
from tinynet.train import batches

SPECIAL = ("<pad>", "<unknown>", "<begin>", "<end>")
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


# %% Words
def words(sentence):
    """Lower-cased words and marks of punctuation.

    >>> words(" It’s 5 o'clock, Anna! ")
    ["it's", '5', "o'clock", ',', 'anna', '!']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", sentence).lower().replace("’", "'"))


def detokenised(found):
    """One string of words and marks, with the spaces that a reader expects.

    >>> detokenised(["it's", "5", ",", "(", "or", "6", ")", "!"])
    "it's 5, (or 6)!"
    """
    text = re.sub(r" ([.,!?;:%)\]}…])", r"\1", " ".join(found))
    return re.sub(r"([(\[{]) ", r"\1", text)


def read_text(path):
    """The text of a UTF-8 file; raises ValueError for another encoding."""
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        likely = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        raise ValueError(f"read_text: {path} isn't UTF-8 (byte {data[error.start]:#x} at position {error.start}); "
                         f"convert it, e.g. iconv -f {likely} -t utf-8 {Path(path).name}") from None


# %% A vocabulary
class Vocabulary:
    """Words and their numbers.  The first four are padding 0, unknown 1, begin 2 and end 3.

    Make one by `Vocabulary.of(sentences)` from training data alone: what a net hasn't met, it can't know.
    """

    def __init__(self, known):
        self.words = [*SPECIAL, *known]
        self.numbers = {word: i for i, word in enumerate(self.words)}
        if len(self.numbers) < len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"Vocabulary: {twice!r} is there twice; give each word once")

    @classmethod
    def of(cls, sentences, least=1, most=None):
        """The words that these sentences (lists of words) use at least `least` times, the `most` frequent of them."""
        counts = Counter(word for sentence in sentences for word in sentence)
        known = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
        return cls(known[:most])

    def __len__(self):
        return len(self.words)

    def encode(self, sentence, end=True):
        """The numbers of a list of words, UNKNOWN for those that aren't here, with END behind them."""
        if isinstance(sentence, str):
            raise TypeError("Vocabulary: encode takes a list of words; split the sentence first, e.g. by words(...)")
        found = [self.numbers.get(word, UNKNOWN) for word in sentence]
        return np.array([*found, END] if end else found, np.int64)

    def decode(self, numbers):
        """The words of these numbers up to END, without padding and begin; raises ValueError for numbers too large."""
        found = []
        for number in np.asarray(numbers).tolist():
            if not 0 <= number < len(self):
                raise ValueError(f"Vocabulary: there is no word {number}, only 0..{len(self) - 1}; decode by the "
                                 "vocabulary that the text was encoded by")
            if number == END:
                break
            if number not in (PAD, BEGIN):
                found.append(self.words[number])
        return found

    def must_equal(self, saved):
        """Raises ValueError unless a checkpoint's list of words is this vocabulary's."""
        if list(saved) != self.words:
            pairs = enumerate(zip(saved, self.words, strict=False))
            at = next((i for i, (there, here) in pairs if there != here), min(len(saved), len(self)))
            there, here = (repr(w[at]) if at < len(w) else "nothing" for w in (saved, self.words))
            raise ValueError(f"Vocabulary: the checkpoint belongs to another vocabulary ({len(saved)} words there, "
                             f"{len(self)} here; word {at} is {there} there and {here} here); make it from the same "
                             "training data")


class Characters:
    """The characters of a text and their numbers 0, 1, ..., in the order of Unicode: no specials, all are known."""

    def __init__(self, text):
        self.words = sorted(set(text))
        self.numbers = {c: i for i, c in enumerate(self.words)}

    def __len__(self):
        return len(self.words)

    def encode(self, text):
        """Numbers (T); raises ValueError for a character that the text hadn't."""
        if unknown := set(text) - self.numbers.keys():
            raise ValueError(f"Characters: {min(unknown)!r} isn't among the {len(self)} characters of this net's text; "
                             "write the prompt without it")
        return np.array([self.numbers[c] for c in text], np.int64)

    def decode(self, numbers):
        """The text of these numbers; raises ValueError for a number that is none of a character."""
        numbers = np.asarray(numbers, np.int64).reshape(-1)
        if len(wrong := numbers[(numbers < 0) | (numbers >= len(self))]):
            raise ValueError(f"Characters: there is no character {wrong[0]}, only 0..{len(self) - 1}; decode by the "
                             "characters that the text was encoded by")
        return "".join(self.words[i] for i in numbers.tolist())

    must_equal = Vocabulary.must_equal


# %% Batches
def padded(sequences, pad=PAD):
    """(numbers (B, T), mask (B, T)) of sequences of different lengths; raises ValueError for an empty one.

    >>> padded([[5, 6, 3], [7, 3]])[0]
    array([[5, 6, 3],
           [7, 3, 0]])
    """
    lengths = [len(s) for s in sequences]
    if 0 in lengths:
        raise ValueError(f"padded: sequence {lengths.index(0)} is empty; leave it out, or give it at least an END")
    return batches.padded([np.asarray(s, np.int64) for s in sequences], pad)


def teacher(target, mask):
    """(inputs, targets) of a decoder under teacher forcing (csc321 teacher): the input is the target moved by one.

    target (B, T)   the words, END last, then padding      mask (B, T)   True for words and END
    inputs begin with BEGIN; targets are -1, to be ignored, where there is padding

    >>> teacher(np.array([[5, 6, 3], [7, 3, 0]]), np.array([[True] * 3, [True, True, False]]))
    (array([[2, 5, 6],
           [2, 7, 3]]), array([[ 5,  6,  3],
           [ 7,  3, -1]]))
    """
    sizes("target: B T, mask: B T", target, mask)
    begin = np.full((len(target), 1), BEGIN, target.dtype)
    return np.concatenate([begin, target[:, :-1]], axis=1), np.where(mask, target, -1)
