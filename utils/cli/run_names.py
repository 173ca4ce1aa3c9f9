"""What a run is called, its files after it, and how W&B sorts it."""

import argparse
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from utils.cli.resume_rules import REFUSED, rule_of

LENGTH = {"group": 128, "tag": 64}  # the most characters that W&B takes
BESIDE_RULES = ("max_epochs", "epochs", "accumulate_grad_batches", "limit_train_batches")  # a run may go on with others


def default_comment(args: argparse.Namespace, stage: str) -> str | None:
    """The time; in contrastive disentangling what tells runs apart, so that a run can be found again by its flags.

    None for what is computed from pretrained features: its folder is found again by the weights and the dataset.
    """
    if stage == "features":
        return None
    if stage == "disentangle":
        return f"{args.method}_{args.feature_num}_seed{args.seed}"
    return datetime.now().strftime("%b%d_%H-%M-%S")


def file_name(dataset: str) -> str:
    """A value of ``--dataset`` as part of a path.

    >>> file_name("npz:medical/path.npz")
    'npz-medical_path.npz'
    """
    return dataset.replace(":", "-").replace("/", "_")


def network_name(args: argparse.Namespace) -> str:
    """The architecture or backbone as part of a path."""
    return re.sub(r"[^\w.+-]", "_", getattr(args, "backbone", None) or args.arch)


def run_name(args: argparse.Namespace, stage: str, weights: str | None = None) -> str:
    """Name of a run, as published: stage, architecture or backbone, dataset and comment.

    All runs of a W&B sweep have the same comment: there the run's id is at the end. What is computed from ``weights``
    alone has their name in the place of the architecture.
    """
    parts = [stage, weights or network_name(args), file_name(args.dataset), args.comment, sweep_run_id()]
    return "-".join(part for part in parts if part)


def sweep_run_id() -> str | None:
    """The id that ``wandb agent`` has given to this run; None outside of a sweep."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


@dataclass(frozen=True)
class RunLabels:
    """How W&B sorts a run.

    Args:
        group: equal for runs that differ in their seed alone (and in what changes nothing that is learnt), so that
            seeds fold into a band.
        job_type: the stage.
        tags: split, method and seed.
    """

    group: str
    job_type: str
    tags: tuple[str, ...]


def run_labels(args: argparse.Namespace, stage: str) -> RunLabels:
    """The labels of a run.

    >>> args = argparse.Namespace(dataset="CIFAR10", num_unlabeled_classes=5, arch="resnet18", seed=1, factor_inter=0.1)
    >>> labels = run_labels(args, "discover")
    >>> labels.job_type, labels.tags
    ('discover', ('cifar10-5', 'inter', 'seed1'))
    >>> labels.group[:-8]  # then a digest of the settings
    'discover-resnet18-cifar10-5-inter-'
    """
    settings = vars(args)
    split, method = split_name(settings), method_name(settings, stage)
    same = {name: value for name, value in settings.items() if name in BESIDE_RULES or rule_of(name) == REFUSED}
    for name in ("seed", "images"):  # which images keep their label may be drawn with the seed
        same.pop(name, None)
    if settings.get("num_unlabeled_estimated"):
        same.pop("num_unlabeled_classes", None)  # estimated anew by each seed
    digest = hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()[:8]
    readable = "-".join([stage, network_name(args), split, method])[: LENGTH["group"] - 9]
    tags = tuple(tag[-LENGTH["tag"] :] for tag in (split, method, f"seed{args.seed}"))
    return RunLabels(f"{readable}-{digest}", stage, tags)


def split_name(settings: Mapping[str, Any]) -> str:
    """Name of a split as in ``scripts/``: ``cifar10-5``, ``imagenet-a``, ``cifar100-gcd``; else the dataset."""
    dataset = file_name(settings["dataset"]).lower()
    if "num_unlabeled_classes" not in settings:
        return dataset
    if settings.get("setting") == "gcd":
        return f"{dataset}-gcd"
    if settings["dataset"] == "ImageNet":
        return f"{dataset}-{settings['imagenet_split'].lower()}"
    number = "auto" if settings.get("num_unlabeled_estimated") else settings["num_unlabeled_classes"]
    return f"{dataset}-{number}"


def method_name(settings: Mapping[str, Any], stage: str) -> str:
    """``uno`` or the names of the constraints, a method of ``baselines/``, ``simgcd``, ``cd``, ``simclr``."""
    if settings.get("baseline"):
        return settings["baseline"]
    if stage == "disentangle":
        return settings["method"]
    if stage != "discover":
        return {"pretrain": "supervised", "gcd": "simgcd"}[stage]
    return "_".join(name.removeprefix("factor_") for name in settings if name.startswith("factor_")) or "uno"
