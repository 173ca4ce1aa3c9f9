"""CIFAR-10 and CIFAR-100: torchvision's files, or ``cifar10.npz`` / ``cifar100.npz`` when those are absent.

The files are pickles, which could run code when loaded the usual way; here only plain data come out of them.
"""

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.data.containers import ImageArrays, SourceRequest
from utils.data.sources.cifar_files import CIFAR, SUPER_CLASSES, CifarFiles
from utils.data.sources.fetching import fetch_archive
from utils.data.sources.npz import read_npz
from utils.data.sources.plain_pickle import load_plain_pickle
from utils.errors import UserError

SIDE = 32
WRITTEN_BY_PYTHON_2 = re.compile(rb"\x80\x02}q.\(U", re.DOTALL)  # how the published files begin, and no newer pickle


def read_cifar(request: SourceRequest) -> ImageArrays:
    """Read the 32x32 images.

    Raises:
        UserError: when neither the files nor the ``.npz`` are there (says ``--download``), when some are missing, and
            for a damaged file (names it).
    """
    files, data_dir = CIFAR[request.dataset.upper()], request.data_dir
    folder, missing = data_dir / files.folder, _missing(files, data_dir)
    npz = data_dir / files.npz
    if len(missing) == len(files.train) + len(files.test):
        if npz.is_file():
            return _checked(npz, read_npz(npz, files.class_names))
        raise UserError(
            f"{request.dataset} is not in {data_dir}: expected {folder}{os.sep} (--download fetches it) or {npz}"
        )
    if missing:
        raise UserError(f"{folder} has no {', '.join(missing)}; --download fetches what is missing")
    train_images, train_labels, train_published = _read_batches(files, folder, files.train)
    test_images, test_labels, test_published = _read_batches(files, folder, files.test)
    published = train_published and test_published
    return ImageArrays(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=files.class_names,
        origin=f"torchvision files in {folder}" + ("" if published else " (not the published ones)"),
    )


def read_super_classes(request: SourceRequest) -> ImageArrays:
    """CIFAR-100 with the 20 super-classes as labels; with the 100 classes where ``fine_labels`` asks for them."""
    fine = read_cifar(request)
    return fine if request.fine_labels else to_super_classes(fine)


def to_super_classes(fine: ImageArrays) -> ImageArrays:
    """The same images with labels by the published table of super-classes; -1 stays -1."""
    of_class = {name: label for label, names in enumerate(SUPER_CLASSES.values()) for name in names}
    table = np.array([*(of_class[name] for name in fine.class_names), -1])
    return replace(
        fine,
        train_labels=table[fine.train_labels],
        test_labels=table[fine.test_labels],
        class_names=tuple(SUPER_CLASSES),
        origin=f"{fine.origin}, labels of the 20 super-classes",
    )


def fetch_cifar(request: SourceRequest) -> None:
    """Download and unpack what is not there; an ``.npz`` in its place is enough.

    Each file is unpacked beside its place and then moved there, so that it appears whole or not at all.

    Raises:
        UserError: when the archive cannot be had or is damaged.
    """
    files, data_dir = CIFAR[request.dataset.upper()], request.data_dir
    missing = _missing(files, data_dir)
    if not missing or (len(missing) == len(files.train) + len(files.test) and (data_dir / files.npz).is_file()):
        return
    fetch_archive(
        request.dataset,
        f"https://www.cs.toronto.edu/~kriz/{files.archive}",
        data_dir / files.archive,
        files.archive_md5,
        data_dir / files.folder,
        otherwise=files.npz,
    )


def _missing(files: CifarFiles, data_dir: Path) -> list[str]:
    return [name for name in (*files.train, *files.test) if not (data_dir / files.folder / name).is_file()]


def _read_batches(files: CifarFiles, folder: Path, batches: dict[str, str]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Images (N, 32, 32, 3) uint8, labels (N,) int64, and whether all files are the published ones."""
    images, labels, published = [], [], True
    for name, md5 in batches.items():
        path = folder / name
        intact = _is_published(path, md5)
        published &= intact
        content = load_plain_pickle(path)
        data, targets = _batch(path, content, files)
        images.append(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
        labels.append(targets)
    return np.concatenate(images), np.concatenate(labels), published


def _is_published(path: Path, md5: str) -> bool:
    """Whether a file is the published one; False for a file in the same format that somebody else wrote.

    Raises:
        UserError: for a published file that has been damaged.
    """
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
        return True
    if WRITTEN_BY_PYTHON_2.match(content):
        raise UserError(f"{path} is damaged: its md5 is not {md5}; delete it and use --download")
    return False


def _batch(path: Path, content: object, files: CifarFiles) -> tuple[np.ndarray, np.ndarray]:
    """The rows (N, 3072) uint8 and labels (N,) int64 of one file, checked."""
    data = content.get("data") if isinstance(content, dict) else None
    given = content.get(files.labels) if isinstance(content, dict) else None
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE**2:
        raise UserError(f"{path} is damaged: expected 'data' of type uint8 and shape (N, 3072); use --download")
    labels = np.asarray(given if isinstance(given, list | np.ndarray) else [])
    if labels.shape != (len(data),) or (len(data) and labels.dtype.kind not in "iu"):
        raise UserError(f"{path} is damaged: expected {len(data)} integers under '{files.labels}'; use --download")
    if len(data) and not (labels.min() >= 0 and labels.max() < len(files.class_names)):
        raise UserError(f"{path} is damaged: expected labels from 0 to {len(files.class_names) - 1}; use --download")
    return data, labels.astype(np.int64)


def _checked(path: Path, arrays: ImageArrays) -> ImageArrays:
    for images in (arrays.train_images, arrays.test_images):
        if images.shape[1:] != (SIDE, SIDE, 3):
            raise UserError(f"{path} holds images of shape {images.shape[1:]}; expected ({SIDE}, {SIDE}, 3)")
    return arrays
