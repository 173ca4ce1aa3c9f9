"""Seeds for every random stream: randomness is a function of (seed, epoch, step, rank), nothing else."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream is for; the first number of its seed, so that no two kinds ever share numbers."""

    ORDER = 1
    VIEWS = 2
    CROPS = 3
    EVALUATION = 4
    FEATURES = 5
    METHOD = 6


def stream_seed(*numbers: int) -> int:
    """A seed in [0, 2**63) for the stream named by some numbers in [0, 2**32).

    The count of the numbers is part of the name: SeedSequence alone pads with zeros, so that (1, 2) and (1, 2, 0)
    would be the same stream.

    >>> stream_seed(0, 1) == stream_seed(0, 1), stream_seed(0, 1) == stream_seed(0, 1, 0)
    (True, False)
    """
    state = np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
