"""Checkpoints and weights: files that appear whole or not at all, with a digest; loading that cannot run code."""

import hashlib
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from utils.errors import UserError, first_line, shortened
from utils.files import special_kind, write_whole

DIGEST = b"sha256:"  # begins the comment of the zip archive that save_torch writes
COMMENT = len(DIGEST) + 64
ASKS_FOR_CODE = re.compile(r"GLOBAL ([\w.]+)|Trying to instantiate unsupported class (\S+)")  # in torch's refusal


class _Hashed:
    """A file that is written and hashed at once; it keeps the error that torch.save would replace by its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save_torch(path: str | Path, value: Any, previous: Path | None = None) -> bool:
    """``torch.save`` with the SHA-256 of the archive in its comment, as :func:`utils.files.write_whole`.

    Raises:
        UserError: when the file cannot be written.
    """

    def write(file: BinaryIO) -> None:
        hashed = _Hashed(file)
        try:
            torch.save(value, hashed)  # type: ignore[arg-type]
        except RuntimeError:
            if hashed.error is not None:
                raise hashed.error from None
            raise
        file.seek(-2, os.SEEK_END)  # the length of the archive's comment, 0 so far
        file.write(COMMENT.to_bytes(2, "little") + DIGEST + hashed.sha256.hexdigest().encode())

    return write_whole(path, write, previous)


def has_intact_digest(path: str | Path) -> bool:
    """Whether a file is what :func:`save_torch` wrote; True for files without a digest."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - 2 * COMMENT))
        end = file.read()
        if DIGEST not in end:
            return True
        comment = end[end.rindex(DIGEST) :]
        if len(comment) != COMMENT:
            return False
        file.seek(0)
        sha256, left = hashlib.sha256(), size - COMMENT - 2
        while left:
            data = file.read(min(left, 1 << 20))
            sha256.update(data)
            left -= len(data)
        sha256.update(bytes(2))
    return comment == DIGEST + sha256.hexdigest().encode()


def digest_in(path: str | Path) -> str | None:
    """The digest that :func:`save_torch` has left at the end of a file; None where no such file is."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - COMMENT))
            end = file.read()
    except OSError:
        return None
    return end.decode() if end.startswith(DIGEST) else None


def carries(path: str | Path, digest: str | None) -> bool:
    """Whether a file has just this digest, as :func:`digest_in` has read it before; none is carried by no file."""
    return digest is not None and digest == digest_in(path)


def save_weights(
    path: str | Path,
    state: Mapping[str, torch.Tensor],
    class_names: Sequence[str] | None = None,
    previous: Path | None = None,
) -> bool:
    """The bare ``state_dict`` of a network, on the CPU, whole or not at all.

    Names of the classes are an attribute of the mapping, as PyTorch's own ``_metadata`` is: no key is added, and a
    program that knows nothing of them reads the file as ever.
    """
    weights = OrderedDict((name, value.detach().cpu().contiguous()) for name, value in state.items())
    if class_names:
        weights.class_names = [str(name) for name in class_names]  # type: ignore[attr-defined]
    return save_torch(path, weights, previous)


def holds_weights(path: str | Path, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a file holds just these weights."""
    try:
        theirs = load_torch(path)
        return theirs.keys() == state.keys() and all(torch.equal(theirs[n], v.cpu()) for n, v in state.items())
    except (UserError, AttributeError, TypeError, RuntimeError):  # it is something else
        return False


def class_names_of(weights: Any) -> list[str] | None:
    """The names that :func:`save_weights` has left in loaded weights; None in files without, such as published ones."""
    names = getattr(weights, "class_names", None)
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def load_torch(path: str | Path) -> Any:
    """``torch.load`` on the CPU of tensors and plain values only.

    Raises:
        UserError: when the file is absent, damaged, or holds anything else.
    """
    if kind := special_kind(path):
        raise UserError(f"{path} is a {kind}; the checkpoint's file is needed")
    try:
        if not has_intact_digest(path):
            raise ValueError("its digest is another one")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; the checkpoint's file is needed") from None
    except PermissionError:
        raise UserError(f"{path} may not be read (permission denied)") from None
    except Exception as error:  # damaged archives raise almost anything
        if name := ASKS_FOR_CODE.search(str(error)):
            raise UserError(
                f"{path} holds code ({name[1]}) beside its tensors: it is refused, and nothing of it was run"
            ) from None
        reason = shortened(first_line(error), 100)
        if isinstance(error, pickle.UnpicklingError):  # torch's words advise to load it unsafely
            reason = "its pickle cannot be read"
        raise UserError(f"{path} is damaged or is not a checkpoint of tensors ({reason})") from None
