"""Files that a command will write: found unfit before the work, and nothing overwritten that is not its own."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError, readable
from utils.files import LONGEST_NAME, beside, csv_text, followed, special_kind

PROBE = 1 << 16  # bytes that have to fit
BEGINNING = 1 << 12  # bytes of a file that tell whose it is
PNG = b"\x89PNG"


@dataclass(frozen=True)
class Own:
    """A kind of file of this program.

    Args:
        name: for a message.
        recognises: whether the file of a path is an older one of this kind.
    """

    name: str
    recognises: Callable[[Path], bool]


def table_with(*columns: str) -> Own:
    """Tables that ``csv_text`` has written with just these columns: one more is somebody's own work."""
    return _table(csv_text(columns, []))


def table_beginning(column: str) -> Own:
    """Tables that have this first column; the others are named by the data."""
    return _table(f"{column},")


def _table(header: str) -> Own:
    return Own("table", lambda path: _beginning(path).startswith(header.encode()))


def object_with(name: str, *keys: str) -> Own:
    """JSON files of a kind of this name: objects that have these keys."""
    return Own(name, lambda path: set(keys) <= (_object(path) or {}).keys())


def _object(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_metrics(path: Path) -> bool:
    content = _object(path)
    return content is not None and all(value is None or isinstance(value, int | float) for value in content.values())


def _is_document(path: Path) -> bool:
    content = path.read_bytes()  # Matplotlib signs at the end, Pillow at the beginning
    return content.startswith(b"%PDF") and (b"Matplotlib" in content or b"created by Pillow" in content)


METRICS = Own("file of metrics", _is_metrics)
FIGURE = Own("figure", lambda path: _beginning(path).startswith(PNG) and b"Matplotlib" in _beginning(path))
DOCUMENT = Own("document", _is_document)
PAGE = Own("report", lambda path: b'http-equiv="Content-Security-Policy"' in _beginning(path))
NETWORK = Own("exported network", lambda path: all(name in path.read_bytes() for name in (b"classes", b"image_size")))


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(BEGINNING)


def require_target(
    flag: str, path: str | Path, own: Own | None = None, force: bool | None = False, read: str = ""
) -> None:
    """Refuse a file that cannot be written, or that holds something else already; nothing is left behind.

    Args:
        flag: without dashes, for the message.
        path: of the file to come.
        own: what may be overwritten; None: whatever is there.
        force: overwrite anything; None: there is no such flag.
        read: a file that the command reads, which is never overwritten.

    Raises:
        UserError: saying what is there, or why nothing can be written.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise UserError(f"--{flag} {path} is a folder; give the name of a file")
    if kind := special_kind(path):
        raise UserError(f"--{flag} {path} is a {kind}; give the name of a file")
    if os.path.isfile(path):
        if read and os.path.exists(read) and path.samefile(read):
            raise UserError(f"--{flag} {path} is the file that is read; choose another")
        if own and not force and not _recognised(own, path):
            raise UserError(
                f"--{flag} {path} is there already and is no older {own.name} of this program, or was edited; "
                f"choose another{', or overwrite it with --force' if force is not None else ''}"
            )
    _probe(f"--{flag} {path}", followed(path))


def require_folder(flag: str, folder: str | Path) -> None:
    """Refuse a folder in which no file can be written; nothing is left behind, not even the folder.

    Raises:
        UserError: saying why.
    """
    folder = Path(folder)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"--{flag} {folder} is a file; give a folder")
    _probe(f"--{flag} {folder}", folder / "probe")


def require_space(folder: Path, size: int) -> None:
    """Refuse a folder on a disk that has no room for a file of ``size`` bytes.

    Raises:
        UserError: with both sizes.
    """
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(_nearest(folder)).free
        if free < size:
            raise UserError(
                f"{folder}: its disk has {readable(free)} left and one checkpoint of this network takes "
                f"{readable(size)}; make room or choose another place"
            )


def require_different(**targets: str | None) -> None:
    """Refuse two flags of one file, by a link too: the second would overwrite the first.

    Raises:
        UserError: naming both.
    """
    seen: dict[str, str] = {}
    for flag, target in targets.items():
        if target is None:
            continue
        other = seen.setdefault(os.path.realpath(target), flag)
        if other != flag:
            raise UserError(f"--{other} and --{flag} are one file, {target}; choose two names")


def _recognised(own: Own, path: Path) -> bool:
    try:
        return own.recognises(path)
    except OSError:
        return False


def _nearest(folder: Path) -> Path:
    """The folder, or where it is to come the nearest one above that is there."""
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _probe(what: str, path: Path) -> None:
    """Write and remove a file where the one of a path is to come, or in the nearest folder above that is there."""
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise UserError(f"{what}: a name is longer than {LONGEST_NAME} bytes; choose a shorter one")
    probe = beside(_nearest(path.parent) / path.name)
    try:
        with open(probe, "wb") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{what} cannot be written ({error.strerror or error}); choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
