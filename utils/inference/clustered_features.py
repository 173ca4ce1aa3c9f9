"""Clusterings of pretrained features, judged and filed as a discovery run is."""

from argparse import Namespace

import yaml

from utils.cli.flag_types import AUTO
from utils.devices import torch_device
from utils.errors import UserError
from utils.files import write_json, write_text
from utils.inference.features import PretrainedFeatures, default_folder, tell_replaced
from utils.report.tables import metrics_table


def cluster_features(args: Namespace, name: str) -> None:
    """Cluster, print the metrics of discovery, and leave them with the confusion matrix in ``<folder>/<name>/``.

    Args:
        args: the flags of the stage ``features``.
        name: ``kmeans`` or ``semi_kmeans``.

    Raises:
        UserError: for an unknown number of classes, and for weights or data that are not there or do not fit.
    """
    from utils.report.plots.confusion import plot_confusion
    from utils.report.plots.style import save_png

    if args.num_unlabeled_classes == AUTO:
        raise UserError("--num_unlabeled_classes must be a number here; scripts/estimate_classes.py finds one")
    folder = default_folder(args, "baselines") / name
    features = PretrainedFeatures(args, args.checkpoint, torch_device(args.gpus))
    metrics, table = features.baseline(name, args.num_unlabeled_classes, args.seed)
    tell_replaced(folder / "metrics.json")
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "hparams.yaml", yaml.safe_dump(vars(args), sort_keys=False))
    if table.sum():
        classes = features.datamodule.class_names
        save_png(plot_confusion(table, classes, args.num_labeled_classes), folder / "confusion.png")
    print(f"{name}\n{metrics_table(metrics)}\nmetrics   {folder / 'metrics.json'}\n")
