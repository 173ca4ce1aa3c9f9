#!/usr/bin/env python
"""Estimate the number of novel classes from pretrained features, with the labelled classes as guide.

    python scripts/estimate_classes.py --checkpoint checkpoints_iic/pretrain-resnet18-digits-5_5.cp --dataset digits

Prints the criterion over the candidates, the best one and those that can hardly be told from it, and leaves
estimate.csv and estimate.png in logs/estimate-<weights>-<dataset>/ (--comment makes another folder). --estimator
chooses the method; docs/unknown-classes.md compares them. --num_unlabeled_classes is not looked at.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Estimate, print, draw."""
    import time

    from utils.cli.flag_types import AUTO
    from utils.devices import torch_device
    from utils.files import csv_text, write_text
    from utils.inference.features import PretrainedFeatures, default_folder, tell_replaced
    from utils.report.plots.class_number import criterion_text, plot_criterion
    from utils.report.plots.style import save_png

    args.num_unlabeled_classes = AUTO
    folder = default_folder(args, "estimate")
    features = PretrainedFeatures(args, args.checkpoint, torch_device(args.gpus))
    started = time.monotonic()
    found = features.estimate(args.estimator, args.max_unlabeled_classes, args.seed)
    print(criterion_text(found, args.estimator))
    tell_replaced(folder / "estimate.csv")
    write_text(folder / "estimate.csv", csv_text(("candidate", "criterion"), found.curve.items()))
    save_png(plot_criterion({args.estimator: found}), folder / "estimate.png")
    print(f"{time.monotonic() - started:.1f} seconds; curve in {folder / 'estimate.csv'} and estimate.png")


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("features", doc=__doc__))
