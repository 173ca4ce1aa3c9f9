"""What tells a row that was damaged from one that this program has written. Imports no torch."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any


def _within(low: float, high: float) -> Callable[[str], bool]:
    def fits(cell: str) -> bool:
        try:
            return not cell or low <= float(cell) <= high
        except ValueError:
            return False

    return fits


DURATION = _within(0, math.nextafter(math.inf, 0))
CELLS = (  # name of a column, whether a cell may stand in it, and what it has to be
    (re.compile("method"), bool, "the name of one"),
    (re.compile("seed"), re.compile(r"0|[1-9][0-9]*").fullmatch, "a whole number"),
    (re.compile("seconds"), lambda cell: bool(cell) and DURATION(cell), "a number of them"),
    (re.compile("(cpu|extraction)_seconds"), DURATION, "a number of them, or empty"),
    (re.compile(r".*/(acc|nmi)(/.*)?|joint/.*"), _within(0, 1), "a number from 0 to 1, or empty"),
    (re.compile(r".*/ari(/.*)?"), _within(-1, 1), "a number from -1 to 1, or empty"),
)


@functools.cache
def _rule(column: str) -> tuple[Callable[[str], Any], str] | None:
    return next(((fits, what) for name, fits, what in CELLS if name.fullmatch(column)), None)


def damage(row: Mapping[Any, Any]) -> str | None:
    """What is wrong with a row, in words; columns that nobody here knows are not looked at.

    Args:
        row: column -> cell, as ``csv.DictReader`` gives it.

    >>> damage({"seed": "3", "lab/test/acc": "0.91", "my note": "see below"})
    >>> damage({"seed": "3", "lab/test/acc": "91"})
    "lab/test/acc is '91' but must be a number from 0 to 1, or empty"
    """
    if None in row or None in row.values():
        return f"it has {'more' if None in row else 'fewer'} cells than the first line"
    for column, cell in row.items():
        if (rule := _rule(column)) and not rule[0](cell):
            return f"{column} is '{cell}' but must be {rule[1]}"
    return None
