"""Data: sources on disk, the split into labelled and novel classes, loaders, and the Lightning datamodule.

May import: transforms, losses, and what all rooms share (errors, files, …). Importing it imports no torch, so that the
flags can be parsed first.
"""

from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.data.discovery_datamodule import NCDDataModule
    from utils.data.disentangling_datamodule import ContrastiveDataModule

EVAL_BATCH_SIZE = 512
NCD, GCD = "ncd", "gcd"  # the heap is of novel classes alone, or of known and novel ones


def get_datamodule(args: Namespace, mode: str) -> "NCDDataModule | ContrastiveDataModule":
    """The datamodule for the parsed flags; nothing is read from disk before its ``setup()``.

    Args:
        args: the flags named in :class:`utils.data.discovery_datamodule.NCDDataModule`; ``labeled_classes`` is a
            comma-separated string or None, and ``num_small_crops`` counts only with ``multicrop``. With
            ``num_unlabeled_estimated`` the number of novel classes says nothing about the data. ``backbone_data``
            holds the fields of :class:`utils.transforms.spec.BackboneData`, or is None. With ``train`` frozen the
            datamodule waits for features (:class:`utils.data.features.datamodule.FeatureDataModule`).
        mode: ``pretrain`` (labelled classes only), ``discover`` (everything, labels of novel classes hidden), ``all``
            (the same images, one stream), or ``disentangle`` (everything, all labels hidden; the flags of
            :class:`utils.data.disentangling_datamodule.ContrastiveDataModule`).

    Raises:
        ValueError: for another mode.
        UserError: for an unknown dataset, or class counts that the dataset cannot have.
    """
    if mode == "disentangle":
        return contrastive_datamodule(args)
    from utils.data.discovery_datamodule import NCDDataModule
    from utils.data.features.datamodule import FeatureDataModule
    from utils.transforms.spec import BackboneData

    small = args.num_small_crops if getattr(args, "multicrop", False) else 0
    small_crops = {"pretrain": 0, "discover": small, "all": 0}
    if mode not in small_crops:
        raise ValueError(f"unknown mode '{mode}'; known are {', '.join(small_crops)}, disentangle")
    named, backbone = args.labeled_classes, getattr(args, "backbone_data", None)
    cached = getattr(args, "train", None) == "frozen"
    made = partial(FeatureDataModule, feature_views=args.feature_views) if cached else NCDDataModule
    return made(
        mode=mode,
        dataset=args.dataset,
        data_dir=args.data_dir,
        download=args.download,
        batch_size=args.batch_size,
        eval_batch_size=getattr(args, "eval_batch_size", EVAL_BATCH_SIZE),
        num_workers=args.num_workers,
        num_labeled_classes=args.num_labeled_classes,
        num_unlabeled_classes=None if getattr(args, "num_unlabeled_estimated", False) else args.num_unlabeled_classes,
        labeled_classes=None if named is None else tuple(name.strip() for name in named.split(",")),
        imagenet_split=args.imagenet_split,
        prop_train_labels=args.prop_train_labels if getattr(args, "setting", NCD) == GCD else None,
        balanced=getattr(args, "sampler", None) == "balanced",
        image_size=args.image_size,
        num_large_crops=args.num_large_crops,
        num_small_crops=small_crops[mode],
        seed=args.seed,
        backbone=BackboneData(**backbone) if backbone else None,
    )


def contrastive_datamodule(args: Namespace) -> "ContrastiveDataModule":
    """The datamodule for the parsed flags of train.py and evaluate.py."""
    from utils.data.disentangling_datamodule import ContrastiveDataModule

    return ContrastiveDataModule(
        dataset=args.dataset,
        data_dir=args.data_dir,
        own_datasets=args.customize_datasets,
        download=args.download,
        batch_size=args.batch_size,
        eval_batch_size=args.eval_batch_size,
        num_workers=args.num_workers,
        image_size=args.image_size,
        s=args.s,
        blur=args.blur,
        use_unlabeled=args.use_unlabeled,
        fine_labels=args.fine_labels,
        share=1.0 if args.evaluation_mode in ("all", "none") else args.evaluation_mode,
        seed=args.seed,
    )
