"""Downloads that go on where they stopped; an archive's files appear whole or not at all."""

import os
import shutil
import tarfile
import tempfile
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from utils.errors import UserError, first_line, readable
from utils.files import take_lock

AGENT = {"User-Agent": "pytorch/vision"}  # Python's own is refused by some servers
SILENCE = 60.0  # seconds without a byte after which a download has failed


def fetch_archive(dataset: str, url: str, archive: Path, md5: str, folder: Path, otherwise: str | None = None) -> None:
    """Download an archive, unless it is there already, and put the files of its folder in their place.

    Args:
        dataset: its name, for messages.
        url: where the archive is.
        archive: where it goes.
        md5: of the archive.
        folder: the files' place, beside the archive and of the name that the archive gives to its folder.
        otherwise: a file that would do as well, for messages.

    Raises:
        UserError: when the archive cannot be had or is damaged.
    """
    from torchvision.datasets.utils import extract_archive

    data_dir = archive.parent
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        download(url, archive, md5)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".unpacking-") as unpacked:
            extract_archive(str(archive), unpacked)
            folder.mkdir(exist_ok=True)
            for file in sorted((Path(unpacked) / folder.name).iterdir()):
                os.replace(file, folder / file.name)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        there = f"; {archive} is damaged or incomplete" if archive.is_file() else ""
        if kept := _size(_part(archive)):
            there = f"; {readable(kept)} are there, and the next try goes on from them"
        raise UserError(
            f"{dataset} could not be downloaded from {url} ({first_line(error)}){there}; "
            f"put {' or '.join(filter(None, (archive.name, otherwise)))} into {data_dir} by other means"
        ) from error


def download(url: str, path: Path, md5: str) -> None:
    """Download a file, unless it is there already; what comes before the end is kept beside it for the next try.

    Raises:
        OSError, HTTPException: when it cannot be had, or not all of it.
        RuntimeError: when it is another one.
    """
    from torchvision.datasets.utils import check_integrity

    if check_integrity(str(path), md5):
        return
    part = _part(path)
    try:
        with open(part, "ab") as file:
            take_lock(file.fileno(), wait=True)
            if check_integrity(str(path), md5):  # another process had the lock until now
                return
            _append_rest(url, part)
            if not check_integrity(str(part), md5):
                part.unlink()
                raise RuntimeError(f"its md5 is not {md5}")
            os.replace(part, path)
    finally:
        if not _size(part):
            part.unlink(missing_ok=True)


def _append_rest(url: str, part: Path) -> None:
    """Append what a file lacks; where the server cannot begin there, it is written anew.

    Raises:
        OSError, HTTPException: when the server is not there, refuses, falls silent or ends too early.
    """
    from tqdm import tqdm

    there = _size(part)
    headers = AGENT | ({"Range": f"bytes={there}-"} if there else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=SILENCE)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is no more
            return
        raise
    goes_on = response.status == HTTPStatus.PARTIAL_CONTENT
    there = there if goes_on else 0
    total = None if response.length is None else there + response.length
    shown = tqdm.wrapattr(response, "read", total=total, initial=there)
    with response, open(part, "ab" if goes_on else "wb") as file, shown as source:
        shutil.copyfileobj(source, file)
    if total is not None and _size(part) < total:
        raise OSError(f"{readable(_size(part))} of {readable(total)} came")


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
