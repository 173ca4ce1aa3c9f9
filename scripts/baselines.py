#!/usr/bin/env python
"""What discovery has to beat on the same pretrained features: k-means, and semi-supervised k-means.

    python scripts/baselines.py --checkpoint checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --dataset CIFAR10 \\
        --num_labeled_classes 5 --num_unlabeled_classes 5

k-means is the first row of the published table. Prints the metrics of discovery for both and leaves them, with the
confusion matrix, in logs/baselines-<weights>/kmeans/ and semi_kmeans/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Cluster, print, save."""
    import yaml

    from utils.cli.flag_types import AUTO
    from utils.devices import torch_device
    from utils.errors import UserError
    from utils.files import write_json, write_text
    from utils.inference.features import BASELINES, PretrainedFeatures, default_folder
    from utils.report.plots.confusion import plot_confusion
    from utils.report.plots.style import save_png
    from utils.report.tables import metrics_table

    if args.num_unlabeled_classes == AUTO:
        raise UserError("--num_unlabeled_classes must be a number here; scripts/estimate_classes.py finds one")
    parent = default_folder(args, "baselines")
    features = PretrainedFeatures(args, args.checkpoint, torch_device(args.gpus))
    for name in BASELINES:
        folder = parent / name
        metrics, table = features.baseline(name, args.num_unlabeled_classes, args.seed)
        write_json(folder / "metrics.json", metrics)
        write_text(folder / "hparams.yaml", yaml.safe_dump(vars(args), sort_keys=False))
        if table.sum():
            names = features.datamodule.class_names
            save_png(plot_confusion(table, names, args.num_labeled_classes), folder / "confusion.png")
        print(f"{name}\n{metrics_table(metrics)}\nmetrics   {folder / 'metrics.json'}\n")


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("features", doc=__doc__))
