"""Arrays of features on disk: written in chunks, gone on with after a kill, read as a memory map.

``<folder>/<name>-<key>/`` holds ``about.json``, which says all that the features depend on and whose digest the key
is, and ``features.npy``, which appears when all rows are in it. Until then the rows are in ``features.npy.part``, and
``rows.json`` says how many of them have reached the disk.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from utils.errors import UserError, first_line, readable
from utils.files import take_lock, write_text

DTYPE = np.dtype(np.float16)
ABOUT, ARRAY, UNFINISHED, ROWS = "about.json", "features.npy", "features.npy.part", "rows.json"
KEY_DIGITS = 12


@dataclass(frozen=True)
class FeatureRequest:
    """An array of features.

    Args:
        name: for people, the beginning of the folder's name.
        about: everything that the features depend on, as JSON takes it.
        shape: (N, V, D) of V views, or (N, D).
    """

    name: str
    about: Mapping[str, Any]
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """What is in ``about.json``."""
        return json.dumps({**self.about, "shape": self.shape}, indent=2, sort_keys=True) + "\n"

    @property
    def folder_name(self) -> str:
        """Name and key."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:KEY_DIGITS]}"

    @property
    def num_bytes(self) -> int:
        """Size of the rows."""
        return int(np.prod(self.shape)) * DTYPE.itemsize


class FeatureStore:
    """The folder of ``--feature_cache``.

    Args:
        folder: is made when something is written to it.
        say: is told, in one line, of what takes time.
    """

    def __init__(self, folder: str | Path, say: Callable[[str], Any] = print) -> None:
        self.folder, self.say = Path(folder).expanduser(), say

    def find(self, request: FeatureRequest) -> np.ndarray | None:
        """The array, as a read-only memory map; None where it is not there or not whole.

        Raises:
            UserError: for an array that is damaged, or that was made from something else.
        """
        place = self.folder / request.folder_name
        path = place / ARRAY
        if not path.is_file():
            return None
        advice = f"remove the folder {place}, or choose another --feature_cache"
        try:
            about = (place / ABOUT).read_text(encoding="utf-8")
            features = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"the features in {path} cannot be read ({first_line(error)}); {advice}") from None
        if about != request.text or features.shape != request.shape or features.dtype != DTYPE:
            raise UserError(f"the features in {path} were made from other data or another network; {advice}")
        return features

    def get(self, request: FeatureRequest, extract: Callable[[int], Iterator[np.ndarray]]) -> np.ndarray:
        """The array; of several processes one extracts it, the others wait.

        Args:
            request: which.
            extract: gives the rows from the given one on, in chunks (rows, …) float32 or float16.

        Raises:
            UserError: as :meth:`find`; for a folder that cannot be written, a disk without the space, and features
                that float16 cannot hold.
        """
        features = self.find(request)
        if features is None:
            with self._written(request):
                features = self.find(request)
                if features is None:
                    with self._writing(request) as append:
                        for chunk in extract(append.done):
                            append(chunk)
                    features = self.find(request)
        assert features is not None  # as it is whole now
        return features

    @contextlib.contextmanager
    def _written(self, request: FeatureRequest) -> Iterator[None]:
        """Errors of the disk in words, and no other process that writes this array."""
        place = self.folder / request.folder_name
        try:
            place.mkdir(parents=True, exist_ok=True)
            with open(place / "lock", "wb") as lock:
                self._wait_for(lock, place)
                yield
        except ConnectionError:  # whoever reads what is printed has left
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "make room" if full else "make it writable"
            raise UserError(
                f"--feature_cache {self.folder} cannot be written ({error.strerror or error}); {advice} or choose "
                "another folder" + ("; the same command goes on where it stopped" if full else "")
            ) from None

    def _wait_for(self, lock: BinaryIO, place: Path) -> None:
        if take_lock(lock.fileno(), wait=False):
            return
        self.say(f"features  waiting for another run that extracts them to {place}")
        take_lock(lock.fileno(), wait=True)

    @contextlib.contextmanager
    def _writing(self, request: FeatureRequest) -> Iterator["_Appender"]:
        place = self.folder / request.folder_name
        if not _same_text(place / ABOUT, request.text) or not (place / UNFINISHED).is_file():
            self._require_room(request)
            (place / ROWS).unlink(missing_ok=True)
            write_text(place / ABOUT, request.text)
            (place / UNFINISHED).write_bytes(b"")
        with open(place / UNFINISHED, "r+b") as file:
            append = _Appender(file, place / ROWS, request)
            yield append
            append.finish()
        os.replace(place / UNFINISHED, place / ARRAY)
        (place / ROWS).unlink(missing_ok=True)

    def _require_room(self, request: FeatureRequest) -> None:
        free = shutil.disk_usage(self.folder).free
        if request.num_bytes > free:
            raise UserError(
                f"the features {request.name} take {readable(request.num_bytes)}, but {readable(free)} are free in "
                f"--feature_cache {self.folder}; make room, choose another folder, or lower --feature_views"
            )


class _Appender:
    """Rows one after the other, each chunk on the disk before it counts."""

    def __init__(self, file: BinaryIO, rows: Path, request: FeatureRequest) -> None:
        self.file, self.rows, self.request = file, rows, request
        header = {"descr": np.lib.format.dtype_to_descr(DTYPE), "fortran_order": False, "shape": request.shape}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
        self.start = file.tell()
        self.row_bytes = request.num_bytes // max(1, request.shape[0])
        self.done = 0
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            self.done = int(json.loads(rows.read_text())["rows"])
        if file.seek(0, os.SEEK_END) < self.start + self.done * self.row_bytes:
            self.done = 0  # what was counted is not there
        file.seek(self.start + self.done * self.row_bytes)

    def __call__(self, chunk: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            halves = np.ascontiguousarray(chunk, DTYPE)
        if not np.isfinite(halves).all():
            raise UserError(
                f"a feature of the images {self.done:,} to {self.done + len(chunk) - 1:,} is no finite number of 16 "
                "bits, the form in which features are kept; this backbone cannot be frozen: choose --train last_block"
            )
        self.file.write(halves.tobytes())
        self._flush()
        self.done += len(chunk)
        write_text(self.rows, json.dumps({"rows": self.done}))

    def finish(self) -> None:
        """Whole, and no longer than that.

        Raises:
            RuntimeError: if rows are missing.
        """
        if self.done != self.request.shape[0]:
            raise RuntimeError(f"{self.done} of {self.request.shape[0]} rows were extracted")
        self.file.truncate(self.start + self.request.num_bytes)
        self._flush()

    def _flush(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())


def _same_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
