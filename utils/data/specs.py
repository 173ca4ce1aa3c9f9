"""The table of datasets: one frozen :class:`DatasetSpec` each. No torch here, so that flags parse quickly."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from utils.errors import UserError
from utils.transforms.spec import Blur, EvalSpec, Jitter, PadCrop, ResizedCrop, ViewSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST_ARRAY_IMAGE = 64  # images up to this size are kept in memory, get the CIFAR views and the 3x3 stem


def cifar_views(size: int) -> dict[str, Any]:
    """Views for small images; at 32 pixels these are the published ones for CIFAR."""
    return {
        "image_size": size,
        "low_res": True,
        "large": ViewSpec(
            size,
            crops=(PadCrop(round(size / 8)), ResizedCrop((0.5, 1.0))),
            jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.6),
            solarize=0.1,
            equalize=0.1,
        ),
        "small": ViewSpec(
            round(size * 18 / 32),
            crops=(ResizedCrop((0.3, 0.8)),),
            jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.8),
            solarize=0.2,
            equalize=0.2,
        ),
        "evaluation": EvalSpec(size),
    }


def imagenet_views(size: int = 224) -> dict[str, Any]:
    """Views for photographs; at 224 pixels these are the published ones for ImageNet."""
    return {
        "image_size": size,
        "low_res": False,
        "large": ViewSpec(
            size,
            crops=(ResizedCrop((0.5, 1.0)),),
            jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.5),
            grayscale=0.2,
            blur=Blur(p=0.2),
        ),
        "small": ViewSpec(
            round(size * 96 / 224),
            crops=(ResizedCrop((0.08, 0.5)),),
            jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.8),
            grayscale=0.2,
            blur=Blur(p=0.5),
        ),
        "evaluation": EvalSpec(size, resize=round(size * 256 / 224)),
    }


def views_for_size(size: int) -> dict[str, Any]:
    """Views for images of ``size`` pixels: CIFAR's laws up to 64 pixels, ImageNet's above."""
    return cifar_views(size) if size <= LARGEST_ARRAY_IMAGE else imagenet_views(size)


def digits_views(size: int) -> dict[str, Any]:
    """Views for digits, which must not be flipped and lose their identity when cut: mild crops, turns and light."""
    jitter = Jitter(0.2, 0.2, 0.0, 0.0, p=0.8)
    return {
        "image_size": size,
        "low_res": True,
        "large": ViewSpec(size, (ResizedCrop((0.8, 1.0)),), flip=0.0, rotation=15.0, jitter=jitter),
        "small": ViewSpec(size, (ResizedCrop((0.6, 1.0)),), flip=0.0, rotation=15.0, jitter=jitter),
        "evaluation": EvalSpec(size),
    }


def contrastive_view(size: int, s: float, blur: bool) -> ViewSpec:
    """The view of contrastive disentangling and SimCLR for photographs: published at 224 pixels, no normalisation.

    Args:
        size: in pixels.
        s: strength of the colour jitter.
        blur: whether half of the views are blurred, with 23 taps or what fits.
    """
    return ViewSpec(
        size,
        crops=(ResizedCrop((0.08, 1.0)),),
        jitter=Jitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s, p=0.8),
        grayscale=0.2,
        blur=Blur(p=0.5, kernel_size=min(23, 2 * size - 1)) if blur else None,
    )


def contrastive_digits_view(size: int, s: float, blur: bool) -> ViewSpec:
    """The same for digits: turned instead of flipped, cut mildly, and without colour, of which they have none."""
    view = contrastive_view(size, s, blur)
    jitter = Jitter(0.8 * s, 0.8 * s, 0.0, 0.0, p=0.8)
    return replace(view, crops=(ResizedCrop((0.5, 1.0)),), flip=0.0, rotation=15.0, jitter=jitter, grayscale=0.0)


@dataclass(frozen=True)
class DatasetSpec:
    """What the code has to know of a dataset.

    Args:
        name: value of ``--dataset``.
        num_classes: classes that labelled and novel ones must add up to; None when it depends on the files.
        mean, std: of the three channels, for pixels in [0, 1].
        image_size: of the large views and of evaluation, in pixels; None: chosen from the files.
        low_res: whether the ResNet gets the stem for small images.
        large, small: laws of the large and the small views.
        evaluation: the view of evaluation.
        views: from another image size to the five settings above.
        contrastive: from size, jitter strength and blur to the view of contrastive disentangling.
        half_batches: whether a batch is half labelled and half unlabelled (ImageNet) or one shuffled stream.
        needs_files: whether its images are read from ``--data_dir``; if not, they come with a package.
        defaults: flag -> default, for each stage (``pretrain``, ``discover``, ``gcd``), where they are not the seed's.
    """

    name: str
    num_classes: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int | None
    low_res: bool
    large: ViewSpec
    small: ViewSpec
    evaluation: EvalSpec
    views: Callable[[int], Mapping[str, Any]] = views_for_size
    contrastive: Callable[[int, float, bool], ViewSpec] = contrastive_view
    half_batches: bool = False
    needs_files: bool = True
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


DIGITS_MODEL = {"num_labeled_classes": 5, "num_unlabeled_classes": 5, "width": 8, "batch_size": 64, "base_lr": 0.1}
DIGITS_DEFAULTS = {  # how they were chosen: docs/quickstart.md
    "pretrain": {**DIGITS_MODEL, "max_epochs": 8, "warmup_epochs": 1},
    "discover": {
        **DIGITS_MODEL,
        "max_epochs": 32,
        "warmup_epochs": 4,
        "num_heads": 4,
        "hidden_dim": 256,
        "proj_dim": 64,
        "epsilon_sk": 0.02,
        "factor_inter": 0.1,
        "weight_decay_opt": 1e-3,
        "check_val_every_n_epoch": 6,
    },
    "gcd": {
        **DIGITS_MODEL,
        "max_epochs": 30,
        "warmup_teacher_temp_epochs": 10,
        "hidden_dim": 256,
        "proj_dim": 64,
        "check_val_every_n_epoch": 6,
    },
}

CIFAR10 = DatasetSpec("CIFAR10", 10, (0.491, 0.482, 0.447), (0.202, 0.199, 0.201), **cifar_views(32))
CIFAR100 = DatasetSpec("CIFAR100", 100, (0.507, 0.487, 0.441), (0.267, 0.256, 0.276), **cifar_views(32))
DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        CIFAR10,
        CIFAR100,
        DatasetSpec(
            "ImageNet", 912, IMAGENET_MEAN, IMAGENET_STD, **imagenet_views(224), views=imagenet_views, half_batches=True
        ),
        DatasetSpec(
            "digits",
            10,
            (0.305,) * 3,
            (0.376,) * 3,
            **digits_views(12),
            views=digits_views,
            contrastive=contrastive_digits_view,
            needs_files=False,
            defaults=DIGITS_DEFAULTS,
        ),
        DatasetSpec("npz", None, IMAGENET_MEAN, IMAGENET_STD, **{**cifar_views(32), "image_size": None}),
        DatasetSpec("folder", None, IMAGENET_MEAN, IMAGENET_STD, **{**imagenet_views(224), "image_size": None}),
        replace(CIFAR10, name="cifar10"),
        replace(CIFAR100, name="cifar100", num_classes=None),  # 20 super-classes, or 100 with --fine_labels
        DatasetSpec("stl10", 10, (0.447, 0.440, 0.407), (0.260, 0.257, 0.271), **imagenet_views(96)),
        DatasetSpec("imagenet10", 10, IMAGENET_MEAN, IMAGENET_STD, **imagenet_views(224)),
        DatasetSpec("tiny-imagenet", 200, IMAGENET_MEAN, IMAGENET_STD, **cifar_views(64)),
    )
}


def dataset_spec(dataset: str, image_size: int | None = None) -> DatasetSpec:
    """The specification for a value of ``--dataset``; ``npz:<file>`` is the entry ``npz``.

    Args:
        dataset: the flag's value.
        image_size: side of the large views; None keeps the dataset's own. Another size brings the views for that size.

    Raises:
        UserError: for an unknown name, listing the known ones.
    """
    name = "npz" if dataset.startswith("npz:") else dataset
    if name not in DATASETS or dataset == "npz":
        known = ", ".join("npz:<file>" if known == "npz" else known for known in DATASETS)
        hint = "for other images: npz:<file> for arrays, or folder with --data_dir FOLDER"
        if os.path.isdir(dataset):
            hint = f"for this folder of images: --dataset folder --data_dir {dataset}"
        elif os.path.isfile(dataset):
            hint = f"for arrays in this file: --dataset npz:{dataset}"
        raise UserError(f"unknown dataset '{dataset}'; known are {known}; {hint}")
    spec = DATASETS[name]
    return spec if image_size in (None, spec.image_size) else replace(spec, **spec.views(image_size))
