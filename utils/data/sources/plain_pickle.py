"""Unpickling of plain data: arrays, strings, numbers, lists and dictionaries; anything else is refused unexecuted."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError, first_line


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How pickle protocol 2 spells bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return text.encode("latin1")


def _empty_array(kind: type, shape: tuple[int, ...], type_code: bytes) -> np.ndarray:
    """How arrays are spelt; their shape and bytes follow as state."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("array of a subclass")
    return np.ndarray((0,), "b")


def _array_from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    """How pickle protocol 5 spells arrays."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype, content: bytes | str) -> Any:
    """How numpy's numbers are spelt; in files of Python 2 their bytes come as a Latin-1 string."""
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype=dtype)[0]


class HoldsCode(pickle.UnpicklingError):
    """A pickle asks for something that plain data has no need of; the message is its name."""


class PlainUnpickler(pickle.Unpickler):
    """Finds nothing but the constructors of numpy arrays."""

    ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode_latin1,
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,  # numpy 1
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
        ("numpy._core.multiarray", "_reconstruct"): _empty_array,  # numpy 2
        ("numpy._core.multiarray", "scalar"): _scalar,
        ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise HoldsCode(f"{module}.{name}")
        return self.ALLOWED[module, name]


def load_plain_pickle(path: Path) -> Any:
    """Unpickle a file that holds plain data, strings of Python 2 read as Latin-1.

    Raises:
        UserError: for a damaged file, and for one that asks for anything but plain data.
    """
    try:
        with open(path, "rb") as file:
            return PlainUnpickler(file, encoding="latin1").load()
    except HoldsCode as error:
        raise UserError(f"{path} holds code ({error}): it is refused, and nothing of it was run") from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(
            f"{path} is damaged or not a file of plain arrays ({first_line(error)}); delete it and --download"
        ) from error
