"""Shakespeare's plays as one text: the 1,115,394 characters that character models are compared on, or their beginning.

The text is in the public domain; the selection ("tiny Shakespeare") is that of Karpathy 2015, char-rnn.
"""

import lzma
from importlib.resources import files as resources

from tinynet.data import files

SOURCE = "https://github.com/karpathy/char-rnn, folder data/tinyshakespeare"
SHA256 = {"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}
EMBEDDED = 150_000      # characters


def shakespeare(root=None, whole=False):
    """The text.  The first 150,000 characters come with tinynet; `whole` reads all of input.txt from the folder `root`,
    else from $TINYNET_DATA (or tinyshakespeare/ in it).

    Raises FileNotFoundError where the file isn't there, ValueError where it isn't the published one.
    """
    if not whole:
        return lzma.decompress(resources("tinynet.data").joinpath("shakespeare.txt.xz").read_bytes()).decode("ascii")
    folder = files.find_folder("shakespeare", SHA256, "tinyshakespeare", root, SOURCE)
    if folder is None:
        raise FileNotFoundError(f"shakespeare: no folder is given; get input.txt from {SOURCE}, and name its folder by "
                                "root=... or TINYNET_DATA")
    return files.published("shakespeare", folder, SHA256, SOURCE)["input.txt"].decode("ascii")


def split(text, held_out=0.1):
    """(training text, validation text): the end of the text is held out, as is usual for this one."""
    cut = round(len(text) * (1 - held_out))
    return text[:cut], text[cut:]
