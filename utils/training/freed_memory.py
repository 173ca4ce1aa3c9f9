"""What a process does with the memory that it frees."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


def keep_freed_memory() -> bool:
    """Keep freed blocks for the next step instead of giving them back to the system.

    A training step on a CPU asks for the same large blocks as the one before. glibc takes blocks of more than 32 MiB
    from the system each time, which zeroes their pages anew; now they come from the heap, which keeps its size.

    Returns:
        whether there is a glibc to be told so; other systems go on as they were.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
