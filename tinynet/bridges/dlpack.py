"""Arrays of other libraries in tinynet and ours in theirs, by DLPack: the memory is shared and nothing is copied.

    >>> import numpy as np
    >>> from tinynet.bridges import dlpack
    >>> x = dlpack.tensor(np.ones(3))           # or a tensor of PyTorch, JAX, CuPy, ... on the processor
    >>> dlpack.array(x * 2)
    array([2., 2., 2.])

`torch.from_dlpack(dlpack.array(t))` and its likes take our tensors.  Who changes a shared array changes it for both.
"""

import numpy as np

from tinynet.engine import Tensor


def tensor(x, requires_grad=False):
    """A tensor on the memory of an array that speaks DLPack.

    Raises TypeError where it doesn't, or where NumPy can't read it: on another device, with a gradient, or of a dtype
    that NumPy lacks.
    """
    try:
        return Tensor(np.from_dlpack(x), requires_grad=requires_grad)
    except (AttributeError, TypeError, BufferError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise TypeError(f"dlpack: {type(x).__name__} can't be shared ({why}); give an array on the processor, without "
                        "a gradient (x.detach().cpu()), of a dtype that NumPy has") from None


def array(t):
    """The array of a tensor, which speaks DLPack.

    Raises TypeError for a tensor with a gradient, because the other library would lose it.
    """
    if isinstance(t, Tensor) and t.requires_grad:
        raise TypeError("dlpack: the other library would lose this tensor's gradient; give t.detach()")
    return np.asarray(t)
