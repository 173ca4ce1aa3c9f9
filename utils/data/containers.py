"""What a source hands over: images as arrays or as files, with the labels and class names of the dataset itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class SourceRequest:
    """What is asked of a reader; each reads the fields that concern it.

    Args:
        dataset: value of ``--dataset``.
        data_dir: folder with the data.
        download: whether absent data may be fetched.
        imagenet_split: ``A``, ``B`` or ``C``: the 30 novel classes of ImageNet.
        image_size: size asked for, in pixels, or None; a folder of small images is decoded at this size.
        fine_labels: the 100 classes of ``cifar100`` in the place of its 20 super-classes.
        use_unlabeled: read the 100,000 images of ``stl10`` that have no label too.
        needs_classes: whether data without any class are refused.
        place_flag: the flag that has said where the data are.
    """

    dataset: str
    data_dir: Path
    download: bool = False
    imagenet_split: str = "A"
    image_size: int | None = None
    fine_labels: bool = False
    use_unlabeled: bool = False
    needs_classes: bool = True
    place_flag: str = "data_dir"


@dataclass(frozen=True)
class ImageArrays:
    """A dataset in memory.

    Args:
        train_images, test_images: (N, H, W, 3) uint8.
        train_labels, test_labels: (N,) int64 ids in ``class_names``; -1 where nobody knows.
        class_names: name of each class id.
        origin: where the images came from, a phrase for the start-up screen.
        closed: whether labelled and novel classes must add up to ``class_names``; not so when images of unknown
            classes are among them.
        extra_images: (M, H, W, 3) uint8 without labels, for training alone; None: there are none.
        passed_over: what has the name of an image and is none: path -> what it is.
        train_paths, test_paths: the file that each image was decoded from; None where images have no files.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str
    closed: bool = True
    extra_images: np.ndarray | None = None
    passed_over: Mapping[str, str] = field(default_factory=dict)
    train_paths: list[str] | None = None
    test_paths: list[str] | None = None


@dataclass(frozen=True)
class ImageFiles:
    """A dataset on disk: as :class:`ImageArrays`, with the paths of N image files in the place of arrays."""

    train_paths: list[str]
    train_labels: np.ndarray
    test_paths: list[str]
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str
    closed: bool = True
    passed_over: Mapping[str, str] = field(default_factory=dict)
