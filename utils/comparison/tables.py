"""A protocol's rows as a Markdown table: mean ± standard deviation over seeds, and what is missing."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from utils.comparison.rows import Row, numbers
from utils.comparison.selection import Selection

COLUMNS = {  # heading -> keys of metrics.json, of which a row has one
    "novel, train": ("unlab/train/acc/best",),
    "novel, test": ("unlab/test/acc/best",),
    "known, test": ("lab/test/acc", "val/acc"),
    "one matching, all test": ("joint/all",),
}
MISSING = "missing"


def markdown(selection: Selection, command: str) -> str:
    """The table of accuracies in percent, best head, a line a method; those without a row share the last line.

    Args:
        selection: the rows, and which have to be there.
        command: that continues what is missing.
    """
    if not selection.rows:
        return "\n".join([f"Nothing is measured yet; `{command}` begins.", *selection.left_out()])
    seeds = len(selection.seeds)
    lines = ["| accuracy (%), best head | " + " | ".join(COLUMNS) + " | CPU seconds | seeds |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    by_name = {name: [row for row in selection.rows if row["method"] == name] for name in selection.names}
    for name, there in by_name.items():
        if there:
            lines.append(_line(name, there, seeds))
    if absent := [name for name, there in by_name.items() if not there]:
        lines.append(_line(", ".join(absent), [], seeds))
    lines += ["", _commits(selection.rows), *selection.left_out()]
    if selection.missing:
        lines.append(f"{selection.missing} of {selection.wanted} runs are missing; `{command}` goes on.")
    return "\n".join(lines)


def _commits(rows: Sequence[Row]) -> str:
    """The versions of the code that the rows are of, each with its number of rows."""
    counts = Counter(row["commit"].replace(",", " and ") or "unknown" for row in rows)
    return f"Rows of commit{'s' * (len(counts) > 1)} {', '.join(f'{name} ({n})' for name, n in counts.items())}."


def _line(name: str, rows: Sequence[Row], seeds: int) -> str:
    done = str(len(rows)) if len(rows) == seeds else f"{len(rows)} of {seeds}"
    return f"| {name} | " + " | ".join([*_cells(rows), done]) + " |"


def _cells(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return [MISSING] * (len(COLUMNS) + 1)
    accuracies = [[100 * value for key in keys for value in numbers(rows, key)] for keys in COLUMNS.values()]
    return [*(_cell(values, 1, len(rows)) for values in accuracies), _seconds(rows)]


def _seconds(rows: Sequence[Row]) -> str:
    """Of the rows that found all features extracted, where there are any: the others paid for all."""
    found = [row for row in rows if not any(numbers([row], "extraction_seconds"))]
    if cell := _cell(numbers(found, "cpu_seconds"), 0, len(rows)):
        return cell
    cell = _cell(numbers(rows, "cpu_seconds"), 0, len(rows))
    return f"{cell} with extraction" if cell else ""


def _cell(values: Sequence[float], places: int, rows: int) -> str:
    """Mean and deviation, with the number of values where some of the rows have none."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):,.{places}f}" if len(values) > 1 else ""
    lacking = f" ({len(values)} of {rows})" if len(values) < rows else ""
    return f"{statistics.fmean(values):,.{places}f}{spread}{lacking}"


def shown(row: Mapping[str, Any]) -> str:
    """The accuracies of a row, in words.

    >>> shown({"unlab/test/acc/best": 0.9061, "lab/test/acc": 0.87})
    'novel, test 90.6 %, known, test 87.0 %'
    """
    found = {name: next((row[key] for key in keys if key in row), None) for name, keys in COLUMNS.items()}
    return ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items() if value is not None)
