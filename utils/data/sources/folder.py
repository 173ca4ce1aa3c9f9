"""A folder of one's own images: ``train/<class>/*``, ``test/<class>/*`` and ``unlabeled/*``, the last two optional."""

import os
import unicodedata
from pathlib import Path
from statistics import median_low

import numpy as np

from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.images import SUFFIXES, PassedOver, class_folders, list_classes, list_images, read_squares, shorter_side
from utils.data.specs import LARGEST_ARRAY_IMAGE
from utils.errors import UserError

PROBED = 50  # images whose size is looked up


def read_folder(request: SourceRequest) -> ImageArrays | ImageFiles:
    """Read a folder: small images (up to 64 pixels, asked for or found) into memory, else the list of files.

    A class is a folder below ``train`` or ``test``, by name; images below ``unlabeled`` have label -1.

    Raises:
        UserError: when there is no ``train`` with class folders and the request needs it, for an empty class folder,
            and for damaged images (naming them) where these are decoded.
    """
    root, passed_over = request.data_dir, PassedOver()
    train_names = class_folders(root / "train")
    unlabeled = list_images(root / "unlabeled", passed_over)
    if not train_names and (request.needs_classes or not unlabeled):
        raise UserError(
            f"{root / 'train'} has no class folders; --dataset folder expects {root / 'train'}/<class>/ with images, "
            f"and optionally {root / 'test'}/<class>/ and {root / 'unlabeled'}/ (--{request.place_flag} says where)"
        )
    test_names = class_folders(root / "test")
    for part in ("train", "test"):
        passed_over |= dict.fromkeys(_loose_images(root / part), "in no class folder")
    class_names = tuple(sorted({*train_names, *test_names}))
    _require_different(class_names, root)
    train_paths, train_labels = _classes(root / "train", train_names, class_names, passed_over)
    test_paths, test_labels = _classes(root / "test", test_names, class_names, passed_over)
    train_paths += unlabeled
    train_labels = np.concatenate([train_labels, np.full(len(unlabeled), -1, np.int64)])

    size = request.image_size or _median_side(train_paths)
    if size > LARGEST_ARRAY_IMAGE:
        origin, files = f"files in {root}", (train_paths, train_labels, test_paths, test_labels)
        return ImageFiles(*files, class_names, origin, closed=False, passed_over=passed_over)
    return ImageArrays(
        train_images=read_squares(train_paths, size),
        train_labels=train_labels,
        test_images=read_squares(test_paths, size),
        test_labels=test_labels,
        class_names=class_names,
        origin=f"files in {root}, decoded to {size}x{size}",
        closed=False,
        passed_over=passed_over,
        train_paths=train_paths,
        test_paths=test_paths,
    )


def _require_different(names: tuple[str, ...], root: Path) -> None:
    """Refuse classes whose names differ in case or in the form of Unicode alone, as after a move between systems."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise UserError(f"the classes {other!a} and {name!a} in {root} are of one name; rename one folder")


def _loose_images(folder: Path) -> list[str]:
    """Images in the folder itself, where class folders are expected."""
    if not folder.is_dir():
        return []
    return sorted(
        entry.path
        for entry in os.scandir(folder)
        if entry.is_file() and not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in SUFFIXES
    )


def _classes(
    folder: Path, names: list[str], class_names: tuple[str, ...], passed_over: PassedOver
) -> tuple[list[str], np.ndarray]:
    """Paths and labels, as positions in ``class_names``, of the classes ``names`` that have a folder here."""
    paths, positions = list_classes(folder, names, passed_over)
    return paths, np.array([class_names.index(name) for name in names], np.int64)[positions]


def _median_side(paths: list[str]) -> int:
    """Median of the shorter sides of up to ``PROBED`` images, evenly spaced through the list."""
    step = -(-len(paths) // PROBED)
    return median_low([shorter_side(path) for path in paths[::step]])
