"""Which arrays were changed in place, so that a backward that needs their old numbers can refuse.

Noticed are optimisers' steps and `p.data -= ...`.  `p.data[0] -= 1` and `np.subtract(..., out=p.data)` pass unnoticed,
but for `tinynet.debug()`, which compares the numbers.

    >>> import numpy as np
    >>> a, b = np.zeros(3), np.zeros(3)
    >>> before = count
    >>> note(a)
    >>> since(before, (a[1:], b)), since(before, b)
    (True, False)
"""

import weakref

import numpy as np

count = 0           # how many changes there have been
_touched = {}       # id of the memory that was changed -> (a weak reference to it, count then)


def note(array):
    """The memory that this array looks at has just been changed."""
    global count
    count += 1
    owner = memory(array)
    _touched[id(owner)] = weakref.ref(owner), count


def since(then, nested):
    """Was an array in nested tuples, lists and dictionaries changed since the count was `then`?"""
    if isinstance(nested, (tuple, list)):
        return any(since(then, part) for part in nested)
    if isinstance(nested, dict):
        return any(since(then, part) for part in nested.values())
    if not isinstance(nested, np.ndarray):
        return False
    owner = memory(nested)
    reference, when = _touched.get(id(owner), (lambda: None, 0))
    return when > then and reference() is owner


def memory(array):
    """The array that owns the memory which `array` looks at."""
    return array.base if isinstance(array.base, np.ndarray) else array
