"""GPT-2's byte-pair encoding: any text becomes tokens, frequent words one each, rare ones several.

Bytes are written as printable characters, then the pair of neighbours that comes first in the list of merges is joined,
again and again.  Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019.
"""

import json
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

FILES = "encoder.json (or vocab.json) and vocab.bpe (or merges.txt)"


class BytePairs:
    """numbers  {token: number}, tokens in printable characters      merges  pairs of tokens, the most frequent first"""

    def __init__(self, numbers, merges):
        self.numbers, self.rank = numbers, {pair: i for i, pair in enumerate(merges)}
        self.tokens = {number: token for token, number in numbers.items()}
        self.printable = printable_bytes()
        self.byte = {c: b for b, c in self.printable.items()}
        missing = [b for b, c in self.printable.items() if c not in numbers]
        if missing:
            raise ValueError(f"BytePairs: the vocabulary has no token for the byte {missing[0]:#x}; take GPT-2's own "
                             f"files, {FILES}")
        self.parts = lru_cache(100_000)(self._parts)

    def __len__(self):
        return len(self.numbers)

    @classmethod
    def load(cls, folder):
        """From the files in a folder; raises FileNotFoundError where one is missing, ValueError where one is wrong."""
        folder = Path(folder)
        found = [next((folder / name for name in names if (folder / name).is_file()), None)
                 for names in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt"))]
        if None in found:
            raise FileNotFoundError(f"BytePairs: {folder} lacks {FILES}; get them where the weights are published")
        try:
            numbers = json.loads(found[0].read_text(encoding="utf-8"))
            lines = found[1].read_text(encoding="utf-8").split("\n")
            merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"BytePairs: a file in {folder} isn't GPT-2's ({error}); take {FILES}") from error
        if not isinstance(numbers, dict) or any(len(pair) != 2 for pair in merges):
            raise ValueError(f"BytePairs: the files in {folder} aren't GPT-2's; take {FILES}")
        return cls(numbers, merges)

    def encode(self, text):
        """Numbers (T)."""
        return np.array([self.numbers[part] for word in pieces(text) for part in self.parts(
            "".join(self.printable[b] for b in word.encode("utf-8")))], np.int64)

    def decode(self, numbers):
        """The text of these numbers; bytes that are no UTF-8 together become a replacement character."""
        try:
            joined = "".join(self.tokens[int(n)] for n in np.asarray(numbers).reshape(-1))
        except KeyError as error:
            raise ValueError(f"BytePairs: there is no token {error.args[0]}, only 0..{len(self) - 1}") from None
        return bytes(self.byte[c] for c in joined if c in self.byte).decode("utf-8", errors="replace")

    def _parts(self, word):
        """The tokens of one word, written in printable characters."""
        parts = list(word)
        while len(parts) > 1:
            pairs = [self.rank.get(pair, len(self.rank)) for pair in pairwise(parts)]
            least = min(pairs)
            if least == len(self.rank):
                break
            joined, i = [], 0
            while i < len(parts):
                both = i + 1 < len(parts) and pairs[i] == least
                joined.append(parts[i] + parts[i + 1] if both else parts[i])
                i += 2 if both else 1
            parts = joined
        return tuple(parts)


def printable_bytes():
    """{byte: character}: printable ones stand for themselves, the others for 256, 257, ..."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in own]
    return {b: chr(b) for b in own} | {b: chr(256 + i) for i, b in enumerate(others)}


def pieces(text):
    """The words of a text, each with the space before it: contractions, letters, digits, other marks, white space.

    >>> pieces("I'm  here, 2 of us")
    ['I', "'m", ' ', ' here', ',', ' 2', ' of', ' us']
    """
    return [match[0] for match in _PIECE.finditer(text)]


_LETTER, _DIGIT = r"[^\W\d_]", r"[\d\u00b2\u00b3\u00b9\u00bc-\u00be]"
_PIECE = re.compile(rf"'(?:s|t|re|ve|m|ll|d)| ?{_LETTER}+| ?{_DIGIT}+| ?(?:(?!{_LETTER}|{_DIGIT})[^\s])+|\s+(?!\S)|\s+")
