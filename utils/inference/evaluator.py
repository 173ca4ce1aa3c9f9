"""A Trainer for weights that are there: it validates and leaves nothing behind."""

import argparse

import pytorch_lightning as pl

from utils import cli
from utils.training.lightning_messages import silence_lightning


def evaluator(args: argparse.Namespace) -> pl.Trainer:
    """A Trainer for the devices and precision of the flags."""
    silence_lightning()
    return pl.Trainer(
        **cli.trainer_arguments(args),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
