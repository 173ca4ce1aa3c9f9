"""What the flags mean for Lightning's Trainer."""

import argparse
from typing import Any

from utils.cli.shared_flags import PRECISIONS
from utils.devices import accelerator_and_devices

TRAINER_FLAGS = (  # passed to the Trainer under their own names
    "max_epochs",
    "num_nodes",
    "sync_batchnorm",
    "deterministic",
    "check_val_every_n_epoch",
    "num_sanity_val_steps",
    "limit_train_batches",
    "limit_val_batches",
    "accumulate_grad_batches",
    "fast_dev_run",
    "profiler",
    "enable_progress_bar",
)


def trainer_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags mean for Lightning's Trainer (2021's names to today's)."""
    accelerator, devices = accelerator_and_devices(args.gpus, getattr(args, "num_processes", 1))
    settings = {name: getattr(args, name) for name in TRAINER_FLAGS if hasattr(args, name)}
    if hasattr(args, "evaluation_mode"):
        settings |= _disentangling_arguments(args)
    strategy = getattr(args, "distributed_backend", None) or "auto"
    return {
        "accelerator": accelerator,
        "devices": devices,
        "strategy": strategy,
        "precision": PRECISIONS[getattr(args, "precision", "32")],
        "benchmark": not getattr(args, "deterministic", False),  # of cuDNN's algorithms: shapes do not change
        **settings,
    }


def _disentangling_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of contrastive disentangling that have other names than the Trainer's."""
    return {
        "max_epochs": args.epochs,
        "gradient_clip_val": args.max_norm if args.use_gradnorm else None,
        "check_val_every_n_epoch": args.record_every if args.evaluation_mode == "none" else 1,
        "num_sanity_val_steps": 0,  # two batches cannot be clustered
    }
