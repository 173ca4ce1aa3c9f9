"""Metrics and report of a discovery checkpoint."""

import argparse
from pathlib import Path

import pytorch_lightning as pl

from utils.devices import require_devices
from utils.errors import UserError
from utils.inference.discovery_checkpoint import datamodule_of, load_discoverer
from utils.inference.evaluator import evaluator


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Metrics of a discovery checkpoint, recomputed from it alone.

    Raises:
        UserError: when the file is absent or is no discovery checkpoint.
    """
    require_devices(args.gpus)
    module = load_discoverer(args.checkpoint)
    if args.baselines and module.generalized:
        raise UserError(
            "--baselines are of discovery where the unlabelled images are all novel; for this checkpoint's setting "
            "run baselines/kmeans.py with --setting gcd"
        )
    pl.seed_everything(module.hparams["seed"], verbose=False)
    trainer, datamodule = evaluator(args), datamodule_of(module, args)
    metrics = {key: float(value) for key, value in trainer.validate(module, datamodule, verbose=False)[0].items()}
    if args.baselines:
        from utils.inference.kmeans_baselines import kmeans_baselines

        metrics |= kmeans_baselines(datamodule, args.pretrained or module.pretrained_path, module.hparams)
    if args.report:
        write_discovery_report(trainer, metrics, Path(args.checkpoint).parent)
    return metrics


def write_discovery_report(trainer: pl.Trainer, metrics: dict[str, float], folder: Path) -> None:
    """``report.html`` and ``figures/`` of a trainer's discovery module, in a folder; on its device, in one process."""
    from utils.report.collect import collect
    from utils.report.discovery_report import write_report

    found = collect(trainer.lightning_module, trainer.datamodule, trainer.strategy.root_device)  # type: ignore[attr-defined]
    page = write_report(found, metrics, folder, folder / "metrics.csv")
    print(f"report    {page}", flush=True)
