"""What a flag is: its row in the table, how its text is converted, what its value has to be, which mains have it.

Imports nothing heavy: flags are parsed before anything else happens.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Flag:
    """One command-line flag.

    Args:
        name: without dashes.
        default: one value, or a mapping from stages to values, "others" for those not named.
        help: one line.
        kind: converts the text; ``bool`` makes a pair ``--name`` / ``--no-name``.
        stages: the mains that have it.
        check: (predicate, what the value has to be).
        extra: further arguments of ``add_argument``.
    """

    name: str
    default: Any
    help: str
    kind: Callable[[str], Any] = str
    stages: tuple[str, ...] = ("pretrain", "discover", "gcd")
    check: tuple[Callable[[Any], bool], str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def default_for(self, stage: str) -> Any:
        """The default of a stage."""
        if not isinstance(self.default, Mapping):
            return self.default
        return self.default[stage] if stage in self.default else self.default["others"]


def share_or_count(text: str) -> int | float:
    """``0.25`` is a share, ``20`` a number of batches, as in Lightning."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def count_or_auto(text: str) -> int | str:
    """A number, or the word ``auto``."""
    return text if text == AUTO else int(text)


def share_or_word(text: str) -> float | str:
    """``all``, ``none``, or a share such as ``0.1`` or ``1``."""
    return text if text in ("all", "none") else float(text)


def feature_numbers(text: str) -> str | list[int]:
    """``auto``, or numbers of features such as ``0,3,17``."""
    return text if text == "auto" else [int(number) for number in text.split(",")]


def named_places(text: str) -> dict[str, str]:
    """``photos=data/photos,path=npz:pathmnist.npz`` as a mapping from names to places."""
    pairs = [pair.split("=", 1) for pair in text.split(",") if pair.strip()]
    if not all(len(pair) == 2 and pair[0].strip() and pair[1].strip() for pair in pairs):
        raise ValueError(text)
    return {name.strip(): place.strip() for name, place in pairs}


LARGEST_SEED = 2**32 - 1  # numpy's
POSITIVE = (lambda value: 0 < value < math.inf, "above 0 and finite")
NOT_NEGATIVE = (lambda value: 0 <= value < math.inf, "at least 0 and finite")
AT_LEAST_ZERO = (lambda value: value >= 0, "at least 0")
AT_LEAST_ONE = (lambda value: value >= 1, "at least 1")
AT_LEAST_TWO = (lambda value: value >= 2, "at least 2")
BATCHES = (
    lambda value: 0 < value <= 1 if isinstance(value, float) else value >= 1,
    "a number of batches such as 20, or a share such as 0.25, above 0 and at most 1.0",
)
SHARE_OR_WORD = (
    lambda value: value in ("all", "none") or (not isinstance(value, str) and 0 < value <= 1),
    "all, none or a share above 0 and at most 1",
)
SHARE = (lambda value: 0 < value <= 1, "above 0 and at most 1")
FACTOR = (lambda value: 0 <= value <= 1, "between 0 and 1")
AUTO = "auto"
NCD_TRAINING = ("pretrain", "discover", "gcd")
NCD_DATA = (*NCD_TRAINING, "features")  # what needs a dataset and a network by name
READING = ("evaluate", "figures")  # a discovery checkpoint, on the dataset that it was trained on
APPLYING = (*READING, "predict")
NCD = (*NCD_DATA, *READING)
DISCOVER, GENERALIZED = ("discover",), ("gcd",)
PRETRAIN = ("pretrain",)
NCD_ALONE = (*PRETRAIN, *DISCOVER)
DISCOVERING = (*DISCOVER, *GENERALIZED)
PREDICT = ("predict",)
ESTIMATING = (*DISCOVERING, "features")
DISENTANGLE = ("disentangle",)
CLUSTER = ("cluster",)
CD = (*DISENTANGLE, *CLUSTER)
TRAIN = (*NCD_TRAINING, *DISENTANGLE)
RUNS = (*TRAIN, "features")  # what has a folder and a seed of its own
ALL = (*RUNS, *APPLYING, *CLUSTER)
