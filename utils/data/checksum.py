"""What images a run is on, in one number, by which a checkpoint knows them again."""

import os
import zlib
from collections.abc import Sequence

import numpy as np


def checksum(*parts: np.ndarray | Sequence[str]) -> int:
    """CRC-32 of arrays and of lists of files, one after the other; no file is looked at.

    Args:
        parts: arrays of any shape, and paths, of which only what is below their common folder counts: images that moved
            to another place together are the same.

    >>> checksum(["a/train/cat/1.png", "a/train/dog/1.png"]) == checksum(["b/train/cat/1.png", "b/train/dog/1.png"])
    True
    """
    crc = 0
    for part in parts:
        if isinstance(part, np.ndarray):
            data: bytes | memoryview = np.ascontiguousarray(part).data
            crc = zlib.crc32(f"{part.shape}".encode(), crc)
        else:
            ends = [os.path.dirname(path) for path in (min(part, default=""), max(part, default=""))]
            common = len(os.path.commonpath(ends))
            data = os.fsencode("\0".join(path[common:] for path in part))
        crc = zlib.crc32(data, crc)
    return crc
