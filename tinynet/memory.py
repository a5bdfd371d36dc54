"""Keep freed memory in the process instead of giving it back to the system, which is slow on virtual machines."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8         # of glibc's malloc.h


def keep():
    """Let this process keep what it frees; without effect where the C library isn't glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for setting, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1)):
        mallopt(setting, value)
