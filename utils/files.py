"""Files that appear whole or not at all. Imports no torch."""

import contextlib
import csv
import fcntl
import filecmp
import io
import itertools
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from utils.errors import UserError

LONGEST_NAME = 255  # bytes of a file's name
FORMULA = tuple("=+-@\t\r")  # what a spreadsheet computes begins with one of them
SPECIAL = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def write_whole(path: str | Path, write: Callable[[BinaryIO], Any], previous: Path | None = None) -> bool:
    """Write beside the file, flush to disk, then rename over it.

    Args:
        path: of the file; a link stays, and the file that it leads to is written, unless the link is kept itself.
        write: is called with the open file.
        previous: name under which what was there is kept, unless its bytes are the same.

    Returns:
        whether a file is kept under that name.

    Raises:
        UserError: when the file cannot be written; what was there before is untouched.
    """
    place = followed(path) if previous is None else Path(path)
    unfinished = beside(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        keeps = previous is not None and place.is_file() and not filecmp.cmp(place, unfinished, shallow=False)
        if previous is not None and keeps:
            _keep(place, previous)
        os.replace(unfinished, place)
        _flush_folder(place.parent)
        return keeps
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); what was there before is kept"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def followed(path: str | Path) -> Path:
    """The file that a link leads to, there or not; any other path as it is."""
    return Path(os.path.realpath(path) if os.path.islink(path) else path)


def beside(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(fitting_name(f".{path.name}", f".{os.getpid()}.tmp"))


def fitting_name(stem: str, end: str) -> str:
    """The name of a file, its stem cut where both would be more than ``LONGEST_NAME`` bytes."""
    return os.fsdecode(os.fsencode(stem)[: LONGEST_NAME - len(os.fsencode(end))]) + end


def replaced_name(path: Path) -> Path:
    """A free name beside a file for what is replaced there: ``x.replaced.cp``, then ``x.replaced-2.cp``, …."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (path.with_name(fitting_name(path.stem, f".replaced{number}{path.suffix}")) for number in numbers)
    return next(name for name in names if not os.path.lexists(name))


def _keep(path: Path, previous: Path) -> None:
    """Give a file a second name, so that at every moment there is one under the first."""
    link = beside(previous)
    try:
        link.unlink(missing_ok=True)
        os.link(path, link)
        os.replace(link, previous)
    except OSError:  # a file system without hard links
        os.replace(path, previous)


def _flush_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed run has left beside the files that it was writing."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, previous: Path | None = None) -> bool:
    """A text file in UTF-8, as :func:`write_whole`; file names in it that are not UTF-8 are written as their bytes."""
    return write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")), previous)


def csv_text(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table as comma-separated values; no cell is a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(harmless, rows))
    return text.getvalue()


def csv_of_rows(rows: Sequence[Mapping[str, Any]], first: Iterable[str] = ()) -> str:
    """Rows as comma-separated values, a column for each name in any of them; cells that a row lacks are empty.

    Args:
        rows: name of a column -> cell.
        first: names of the first columns, which no row needs to have.

    >>> csv_of_rows([{"a": 1}, {"b": 2, "a": 3}], first=["c"])
    'c,a,b\\n,1,\\n,3,2\\n'
    """
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return csv_text(names, ([row.get(name, "") for name in names] for row in rows))


def harmless(row: Iterable) -> list:
    """Cells of which a spreadsheet computes none: a text that would be a formula gets an apostrophe in front.

    >>> harmless(["=1+1", "-a.png", "-0.5", -3, "a=b"])
    ["'=1+1", "'-a.png", '-0.5', -3, 'a=b']
    """
    return [
        f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA and not _is_number(cell) else cell for cell in row
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()


def write_json(path: str | Path, numbers: Mapping[str, Any]) -> None:
    """One flat JSON object; a number that is not finite becomes null."""
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}
    write_text(path, json.dumps(clean, indent=2) + "\n")


def take_lock(handle: int, wait: bool) -> bool:
    """Lock an open file or folder until its handle is closed; whether this process has the lock.

    On a file system without locks every process has it.

    Args:
        handle: of the file or folder.
        wait: for another process to close its handle, as long as that takes.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def special_kind(path: str | Path) -> str | None:
    """What is neither a file nor a folder, by name; None for those two and where nothing is (a link to nowhere)."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else SPECIAL.get(stat.S_IFMT(mode), "special file")
