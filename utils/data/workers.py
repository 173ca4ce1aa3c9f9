"""How many processes decode images."""

import warnings
from functools import cache

from utils.devices import cores
from utils.distributed import say


def usable_workers(num_workers: int, batches: int) -> int:
    """``--num_workers``, but no more than there are batches; more than the machine has cores is said, once.

    torch's own warning of that, which names no flag, is silenced.
    """
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    workers = min(num_workers, batches)
    if workers > cores():
        _warn(num_workers)
    return workers


@cache
def _warn(num_workers: int) -> None:
    say(f"warning: --num_workers {num_workers} is more than the {cores()} cores of this machine; some will wait")
