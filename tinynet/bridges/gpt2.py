"""Prompt in, article out (csc321 lm): GPT-2 from the folder in which its published files lie.

    python -m tinynet.bridges.gpt2 FOLDER "In a shocking finding, scientists discovered"

FOLDER holds model.safetensors (or pytorch_model.bin) and the byte pairs' files, as they are published.
"""

import argparse
import sys
from pathlib import Path

from tinynet.bridges import pytorch, safetensors
from tinynet.data.byte_pairs import BytePairs
from tinynet.models.sequences.generate import Sampled, show, text_after
from tinynet.models.sequences.gpt2 import gpt2


def load(folder):
    """(net, byte pairs) from a folder.

    Raises FileNotFoundError where the weights or the byte pairs are missing, ValueError where they don't fit.
    """
    folder = Path(folder)
    for name, reader in (("model.safetensors", lambda path: safetensors.load(path)[0]),
                         ("pytorch_model.bin", pytorch.load)):
        if (folder / name).is_file():
            return _together(folder, gpt2(reader(folder / name)), BytePairs.load(folder))
    raise FileNotFoundError(f"gpt2: {folder} has neither model.safetensors nor pytorch_model.bin; download the model's "
                            "files into it")


def _together(folder, net, pairs):
    words = len(net.embedding.E.data)
    if words != len(pairs):
        raise ValueError(f"gpt2: the weights in {folder} are of {words} tokens and its byte pairs of {len(pairs)}; "
                         "take both from the same model")
    return net, pairs


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tinynet.bridges.gpt2", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the published files lie")
    parser.add_argument("prompt", help="the text to go on with")
    parser.add_argument("--tokens", type=int, default=200, help="how many tokens to write (default 200)")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=0.95, help="admit the likeliest tokens up to this probability")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        net, pairs = load(options.folder)
        pick = Sampled(options.temperature, top_p=options.top_p, rng=options.seed)
        pieces = text_after(net, options.prompt, pairs, options.tokens, pick, (pairs.numbers.get("<|endoftext|>"),))
        return show(options.prompt, pieces)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
