"""A protocol's rows as a Markdown table: mean ± standard deviation over seeds, and what is missing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from utils.comparison.protocols import PRETRAINING, Protocol
from utils.comparison.rows import Row, mean_and_deviation, numbers, rows_of

COLUMNS = {  # heading -> keys of metrics.json, of which a row has one
    "novel, train": ("unlab/train/acc/best",),
    "novel, test": ("unlab/test/acc/best",),
    "known, test": ("lab/test/acc", "val/acc"),
    "one matching, all test": ("joint/all",),
}
MISSING = "missing"


def markdown(protocol: Protocol, rows: Sequence[Row], methods: Sequence[str], more: str, command: str) -> str:
    """The table of accuracies in percent, best head, a line a method; those without a row share the last line.

    Args:
        protocol: whose seeds have to be there.
        rows: of its file.
        methods: in their order.
        more: further flags of the rows that are shown.
        command: that continues what is missing.
    """
    rows = rows_of(rows, protocol.seeds, more)
    if not rows:
        return f"Nothing is measured yet; `{command}` begins."
    names = [*([PRETRAINING] if protocol.pretrains(methods) else []), *methods]
    lines = ["| accuracy (%), best head | " + " | ".join(COLUMNS) + " | CPU seconds | seeds |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    by_name = {name: [row for row in rows if row["method"] == name] for name in names}
    for name, there in by_name.items():
        if there:
            lines.append(_line(name, there, protocol))
    if absent := [name for name, there in by_name.items() if not there]:
        lines.append(_line(", ".join(absent), [], protocol))
    runs = len(names) * len(protocol.seeds)
    if missing := runs - sum(len({row["seed"] for row in there}) for there in by_name.values()):
        lines += ["", f"{missing} of {runs} runs are missing; `{command}` goes on."]
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Row], protocol: Protocol) -> str:
    return f"| {name} | " + " | ".join([*_cells(rows), _seeds(rows, protocol)]) + " |"


def _cells(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return [MISSING] * (len(COLUMNS) + 1)
    accuracies = [[100 * value for key in keys for value in numbers(rows, key)] for keys in COLUMNS.values()]
    return [*(_cell(values, 1) for values in accuracies), _cell(numbers(rows, "cpu_seconds"), 0)]


def _cell(values: Sequence[float], places: int) -> str:
    if not values:
        return ""
    mean, deviation = mean_and_deviation(values)
    return f"{mean:,.{places}f}" + ("" if math.isnan(deviation) else f" ± {deviation:,.{places}f}")


def _seeds(rows: Sequence[Row], protocol: Protocol) -> str:
    return str(len(rows)) + ("" if len(rows) == len(protocol.seeds) else f" of {len(protocol.seeds)}")


def shown(row: Mapping[str, Any]) -> str:
    """The accuracies of a row, in words.

    >>> shown({"unlab/test/acc/best": 0.9061, "lab/test/acc": 0.87})
    'novel, test 90.6 %, known, test 87.0 %'
    """
    found = {name: next((row[key] for key in keys if key in row), None) for name, keys in COLUMNS.items()}
    return ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items() if value is not None)
