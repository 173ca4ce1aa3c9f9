"""A Trainer for weights that are there: it validates and leaves nothing behind."""

import argparse

import pytorch_lightning as pl

from utils import cli
from utils.devices import torch_device
from utils.training.lightning_messages import silence_lightning


def evaluator(args: argparse.Namespace) -> pl.Trainer:
    """A Trainer for the precision and the device of the flags, for one alone: several would all write the files."""
    silence_lightning()
    settings = cli.trainer_arguments(args)
    if settings["accelerator"] == "gpu":
        settings["devices"] = [torch_device(args.gpus).index]
    return pl.Trainer(
        **settings,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
