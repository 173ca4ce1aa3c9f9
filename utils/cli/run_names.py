"""What a run is called, and its files after it."""

import argparse
import re
from datetime import datetime


def default_comment(args: argparse.Namespace, stage: str) -> str:
    """The time; in contrastive disentangling what tells runs apart, so that a run can be found again by its flags."""
    if stage == "disentangle":
        return f"{args.method}_{args.feature_num}_seed{args.seed}"
    return datetime.now().strftime("%b%d_%H-%M-%S")


def file_name(dataset: str) -> str:
    """A value of ``--dataset`` as part of a path.

    >>> file_name("npz:medical/path.npz")
    'npz-medical_path.npz'
    """
    return dataset.replace(":", "-").replace("/", "_")


def run_name(args: argparse.Namespace, stage: str) -> str:
    """Name of a run, as published: stage, architecture or backbone, dataset and comment."""
    network = getattr(args, "backbone", None) or args.arch
    return "-".join([stage, re.sub(r"[^\w.+-]", "_", network), file_name(args.dataset), args.comment])
