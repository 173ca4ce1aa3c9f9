"""Two excerpts of ImageNet that are kept as files: ImageNet-10 and Tiny ImageNet."""

import csv
from pathlib import Path

import numpy as np

from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.images import PassedOver, class_folders, list_classes, list_images, read_squares
from utils.errors import UserError

IMAGENET10 = "imagenet-10"
TINY, TINY_SIDE = "tiny-imagenet-200", 64


def read_imagenet10(request: SourceRequest) -> ImageFiles:
    """``<data_dir>/imagenet-10/<class>/*``, or ``imagenet-10/train/<class>/*``: 10 classes of ImageNet.

    Raises:
        UserError: when there are no folders of classes, or an empty one.
    """
    root = request.data_dir / IMAGENET10
    folder = root / "train" if (root / "train").is_dir() else root
    names = class_folders(folder)
    if not names:
        raise UserError(
            f"imagenet10 is not in {root}: expected {root}/<class>/ with images "
            "(kaggle datasets download -d liusha249/imagenet10; --data_dir says where)"
        )
    passed_over = PassedOver()
    paths, labels = list_classes(folder, names, passed_over)
    none = np.zeros(0, np.int64)
    return ImageFiles(paths, labels, [], none, tuple(names), f"files in {folder}", passed_over=passed_over)


def read_tiny_imagenet(request: SourceRequest) -> ImageArrays:
    """``<data_dir>/tiny-imagenet-200``: ``train/<wnid>/images/*`` and ``val/images/*`` with ``val_annotations.txt``.

    Raises:
        UserError: when the tree or a class is missing, for a damaged image, and for a validation image without a class.
    """
    root = request.data_dir / TINY
    train = root / "train"
    names = class_folders(train)
    if not names:
        raise UserError(f"tiny-imagenet is not in {root}: expected {train}/<wnid>/images/ (--data_dir says where)")
    passed_over = PassedOver()
    train_paths, train_labels = list_classes(train, names, passed_over)
    test_paths, test_labels = _validation(root / "val", names, passed_over)
    return ImageArrays(
        train_images=read_squares(train_paths, TINY_SIDE),
        train_labels=train_labels,
        test_images=read_squares(test_paths, TINY_SIDE),
        test_labels=test_labels,
        class_names=tuple(names),
        origin=f"files in {root}",
        passed_over=passed_over,
        train_paths=train_paths,
        test_paths=test_paths,
    )


def _validation(folder: Path, names: list[str], passed_over: PassedOver) -> tuple[list[str], np.ndarray]:
    """Paths and labels of the validation images; none where the folder is absent."""
    paths = list_images(folder, passed_over)
    if not paths:
        return [], np.zeros(0, np.int64)
    table = folder / "val_annotations.txt"
    try:
        with open(table, newline="", encoding="utf-8", errors="surrogateescape") as file:
            wnids = {row[0]: row[1] for row in csv.reader(file, delimiter="\t") if len(row) > 1}
        labels = [names.index(wnids[Path(path).name]) for path in paths]
    except FileNotFoundError:
        raise UserError(f"there is no {table}, which says the classes of the validation images") from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{table} does not say a known class for every validation image ({error})") from None
    return paths, np.array(labels, np.int64)
