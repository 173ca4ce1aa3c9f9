"""The rows of a protocol: one CSV file, written whole or not at all, that several drivers may fill at once."""

import contextlib
import csv
import fcntl
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from utils.errors import UserError
from utils.files import csv_text, write_text

FIRST = (
    *("method", "seed", "more", "seconds", "cpu_seconds", "extraction_seconds"),
    *("torch", "device", "commit", "date", "images", "settings"),
)
Row = Mapping[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, all cells as text; none where there is no file.

    Raises:
        UserError: for a file without the columns that every row has.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error})") from None
    if any(row.get(name) is None for row in rows for name in ("method", "seed", "more")):
        raise UserError(f"{path} is not a table of this program: a row lacks its method, seed or more")
    return [{**row, "more": row["more"].removeprefix("'")} for row in rows]  # the apostrophe: utils.files.harmless


def same(row: Row, other: Row) -> bool:
    """Whether two rows are of one run."""
    return all(str(row[name]) == str(other[name]) for name in ("method", "seed", "more"))


def add_row(path: Path, row: Mapping[str, object]) -> bool:
    """Add a row to the file, unless one of this run is there already; whether it was added.

    Raises:
        UserError: when the file cannot be written.
    """
    new = {name: "" if value is None else str(value) for name, value in row.items()}
    with locked(path.parent):
        rows = read_rows(path)
        if any(same(old, new) for old in rows):
            return False
        rows = [*rows, new]
        names = [*FIRST, *dict.fromkeys(name for old in rows for name in old if name not in FIRST)]
        write_text(path, csv_text(names, ([old.get(name, "") for name in names] for old in rows)))
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder's tables for this process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder} cannot be used for results ({error.strerror})") from None
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def rows_of(rows: Sequence[Row], seeds: Sequence[int], more: str) -> list[Row]:
    """Those of the given seeds and further flags, which may stand together."""
    return [row for row in rows if row["more"] == more and int(row["seed"]) in seeds]


def numbers(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers that rows have in a column; empty cells are left out."""
    return [float(row[name]) for row in rows if row.get(name)]


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1); the deviation of one value is NaN.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
