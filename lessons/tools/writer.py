"""The net of the lesson language_model in one file, and what it writes.

    python -m lessons language_model                        trains it and keeps it
    python -m lessons language_model --prompt "ROMEO:"      lets it go on
"""

from tinynet import npz
from tinynet.data import files
from tinynet.data.text import Characters
from tinynet.models.sequences.generate import Sampled, show, text_after
from tinynet.models.sequences.language_model import LanguageModel

LESSON, WHAT = "language_model", "language model"


def place(quick=False):
    """The file, in the user's cache; that of --quick stands beside it."""
    return files.cache_folder() / f"{LESSON}{'_quick' if quick else ''}.npz"


def keep(path, net, letters):
    """Write a LanguageModel of one GRU and its Characters; raises CheckpointError where the file can't be written."""
    npz.prepare(path, WHAT)
    npz.save(path, net.state_dict(), {"letters": letters.words}, WHAT)


def load(path):
    """(net, letters) of a file that `keep` wrote; raises ValueError where there is none, or where it is another's."""
    if not path.is_file():
        raise ValueError(f"--prompt: no net has been trained yet, for there is no {path}; train one with  "
                         f"python -m lessons {LESSON}")
    arrays, notes = npz.load(path, lambda *found: _check(path, *found), WHAT)
    net, letters = _made(notes["letters"], {name: a.shape for name, a in arrays.items()})
    net.load_state_dict(arrays)
    return net.eval(), letters


def _made(letters, shapes):
    """A net of these sizes, and its letters."""
    (words, features), (width, _) = shapes["embedding.E"], shapes["layers.layers.0.U"]
    return LanguageModel(words, features, width, rng=0), Characters("".join(letters))


def _check(path, notes, claims):
    """Raise ValueError unless the file holds letters and the arrays of a net for just these."""
    try:
        net, letters = _made(notes["letters"], {name: shape for name, (shape, _) in claims.items()})
        right = {name: (a.shape, a.dtype) for name, a in net.state_dict().items()} == claims
        right = right and letters.words == notes["letters"] and len(letters) == len(net.embedding.E.data)
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(f"--prompt: {path} isn't a net of this lesson; train one with  python -m lessons {LESSON}")


def go_on(asked):
    """Print the prompt and what the net writes after it; returns the exit code.  Raises ValueError for bad input."""
    net, letters = load(place(asked.quick))
    pick = Sampled(asked.temperature, rng=asked.seed)
    return show(asked.prompt, text_after(net, asked.prompt, letters, asked.letters, pick))
