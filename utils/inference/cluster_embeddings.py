"""A model of contrastive disentangling applied to a dataset: clusters, scores, pictures."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils import cli
from utils.data import contrastive_datamodule
from utils.devices import require_devices
from utils.inference.evaluator import evaluator
from utils.methods.disentangler import Disentangler
from utils.nets.disentangling_net import load_net

if TYPE_CHECKING:
    from utils.data.disentangling_datamodule import ContrastiveDataModule
    from utils.report.contrastive_report import ClusterReport


def cluster(args: argparse.Namespace) -> "ClusterReport":
    """Clusters and scores of a model of contrastive disentangling, written beside it.

    Raises:
        UserError: when the model is absent or another one, and for everything about the data.
    """
    from utils.report.contrastive_report import pictures, require_targets, write_report

    out = Path(args.out) if args.out else model_path(args).with_suffix("")
    require_targets(out, args.tsne, args.lime is not None, args.force)
    module, datamodule = embed(args)
    draw = partial(pictures, module, datamodule, args.tsne, args.lime)
    return write_report(out, module.evaluation, module.scores, datamodule, draw)


def embed(args: argparse.Namespace) -> "tuple[Disentangler, ContrastiveDataModule]":
    """A model of contrastive disentangling, applied to a dataset: its ``evaluation`` holds outputs, labels, clusters.

    Raises:
        UserError: as :func:`cluster`.
    """
    require_devices(args.gpus)
    net = load_net(model_path(args))
    classes = None if args.fine_labels else args.class_num
    module = Disentangler(net, k=args.k, class_num=classes, evaluation_mode="all")
    datamodule = contrastive_datamodule(argparse.Namespace(**{**module.hparams, **vars(args)}))
    evaluator(args).validate(module, datamodule, verbose=False)
    return module, datamodule


def model_path(args: argparse.Namespace) -> Path:
    """The model that the flags mean: ``--model``, else that of ``--epoch``."""
    return Path(args.model or Path(args.model_dir) / cli.file_name(args.dataset) / f"model_epoch_{args.epoch}.pth")
