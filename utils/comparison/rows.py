"""The rows of a protocol: one CSV file, written whole or not at all, that several drivers may fill at once."""

import contextlib
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from utils.comparison.damage import damage
from utils.errors import UserError, listed
from utils.files import csv_of_rows, take_lock, write_text

FIRST = (
    *("method", "seed", "more", "seconds", "cpu_seconds", "extraction_seconds"),
    *("torch", "device", "commit", "date", "images", "settings"),
)
Row = Mapping[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, all cells as text; none where there is no file.

    Raises:
        UserError: for a file without the columns that every row has, and for a row that is damaged or there twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # with the mark that a spreadsheet puts in front
            reader = csv.DictReader(file)
            names, numbered = reader.fieldnames or (), [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error})") from None
    if lacking := [name for name in FIRST if name not in names]:
        raise UserError(f"{path} is not a table of this program: its first line lacks {listed(lacking)}")
    rows: dict[tuple[str, ...], Row] = {}
    lines: dict[tuple[str, ...], int] = {}
    for line, row in numbered:
        if wrong := damage(row):
            raise UserError(f"{path}, line {line}: {wrong}; mend the row or remove it")
        row["more"] = row["more"].removeprefix("'")  # of utils.files.harmless
        run = run_of(row)
        if run in rows:
            raise UserError(
                f"{path}, line {line}: {row['method']}, seed {row['seed']}, is in line {lines[run]} already; remove one"
            )
        rows[run], lines[run] = row, line
    return list(rows.values())


def run_of(row: Row) -> tuple[str, ...]:
    """What tells a row's run from those of others."""
    return row["method"], row["seed"], row["more"]


def as_cells(row: Mapping[str, object]) -> dict[str, str]:
    """A row's values as they are written."""
    return {name: "" if value is None else str(value) for name, value in row.items()}


def add_row(path: Path, row: Mapping[str, object]) -> bool:
    """Add a row to the file, unless one of this run is there already; whether it was added.

    Raises:
        UserError: when the file cannot be written.
    """
    new = as_cells(row)
    with locked(path.parent):
        rows = read_rows(path)
        if run_of(new) in map(run_of, rows):
            return False
        write_text(path, csv_of_rows([*rows, new], FIRST))
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
        take_lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def numbers(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers that rows have in a column; empty cells are left out."""
    return [float(row[name]) for row in rows if row.get(name)]
