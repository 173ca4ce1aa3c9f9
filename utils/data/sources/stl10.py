"""STL-10 from its binary files: 5,000 training, 8,000 test and 100,000 unlabelled images of 96x96 pixels."""

import os
from pathlib import Path

import numpy as np

from utils.data.containers import ImageArrays, SourceRequest
from utils.data.sources.fetching import fetch_archive
from utils.errors import UserError

SIDE = 96
FOLDER = "stl10_binary"
ARCHIVE, MD5 = "stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
LABELED = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
UNLABELED = "unlabeled_X.bin"


def read_stl10(request: SourceRequest) -> ImageArrays:
    """Read the images, the unlabelled ones only where ``use_unlabeled`` asks for them.

    Raises:
        UserError: when a file is missing or damaged (names it).
    """
    folder = request.data_dir / FOLDER
    missing = _missing(request)
    if missing:
        raise UserError(
            f"stl10 is not whole in {folder}{os.sep}: there is no {', '.join(missing)}; --download fetches it"
        )
    train, test = (_read_part(folder, part) for part in ("train", "test"))
    return ImageArrays(
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        class_names=CLASSES,
        origin=f"binary files in {folder}",
        extra_images=read_images(folder / UNLABELED) if request.use_unlabeled else None,
    )


def fetch_stl10(request: SourceRequest) -> None:
    """Download and unpack what is not there.

    Raises:
        UserError: when the archive cannot be had or is damaged.
    """
    if _missing(request):
        url = f"http://ai.stanford.edu/~acoates/stl10/{ARCHIVE}"
        fetch_archive("stl10", url, request.data_dir / ARCHIVE, MD5, request.data_dir / FOLDER)


def read_images(path: Path) -> np.ndarray:
    """(N, 96, 96, 3) uint8 from a file that holds them channel by channel, each channel column by column.

    Raises:
        UserError: for a file whose size is no multiple of an image's.
    """
    values = np.fromfile(path, np.uint8)
    if len(values) % (3 * SIDE * SIDE):
        raise UserError(f"{path} is damaged: {len(values)} bytes are no whole number of {SIDE}x{SIDE} images")
    return values.reshape(-1, 3, SIDE, SIDE).transpose(0, 3, 2, 1)


def _missing(request: SourceRequest) -> list[str]:
    needed = (*LABELED, UNLABELED) if request.use_unlabeled else LABELED
    return [name for name in needed if not (request.data_dir / FOLDER / name).is_file()]


def _read_part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels (N,) int64 of ``train`` or ``test``; in the file labels count from 1."""
    images = read_images(folder / f"{part}_X.bin")
    path = folder / f"{part}_y.bin"
    labels = np.fromfile(path, np.uint8).astype(np.int64) - 1
    if len(labels) != len(images) or not len(labels) or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise UserError(f"{path} is damaged: expected {len(images)} labels from 1 to {len(CLASSES)}")
    return images, labels
