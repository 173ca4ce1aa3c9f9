#!/usr/bin/env python
"""How many novel classes? The estimators for a heap of known and novel classes, on the features of a frozen backbone.

python benchmarks/class_number.py --json logs/benchmarks/class_number.json

Half of the known classes' training images are labelled. The seed draws which classes are known, which of their images
are labelled, the images that the estimators look at, and their starts. Rows that are in --json already are not measured
again.
"""

import argparse
import statistics
import time
from pathlib import Path

import commands
import measure

SPLITS = {  # dataset, known and novel classes
    "CIFAR10-5": ("CIFAR10", 5, 5),
    "CIFAR100-20": ("CIFAR100", 80, 20),
    "CIFAR100-50": ("CIFAR100", 50, 50),
}
ESTIMATORS = ("novelty", "inertia", "brent")


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--splits", default=",".join(SPLITS))
    flags.add_argument("--estimators", default=",".join(ESTIMATORS))
    flags.add_argument("--seeds", default="0,1,2")
    flags.add_argument("--data_dir", default="data")
    flags.add_argument("--feature_cache", default="data/features")
    flags.add_argument("--backbone", default="lite0")
    flags.add_argument("--backbone_size", type=int, default=96)
    args = measure.start(flags, words)
    rows = commands.rows_of(args.json)
    for split in args.splits.split(","):
        for seed in map(int, args.seeds.split(",")):
            found = {row["estimator"] for row in rows if (row["split"], row["seed"]) == (split, seed)}
            missing = [name for name in args.estimators.split(",") if name not in found]
            if missing:
                rows += estimates(args, split, seed, missing)
                measure.report(args, "The number of novel classes", rows=rows, means=means(rows))
    return {"rows": rows, "means": means(rows)}


def estimates(args: argparse.Namespace, split: str, seed: int, names: list[str]) -> list[dict]:
    """A row for each estimator, on the same images."""
    import torch

    from utils import cli
    from utils.inference.features import PretrainedFeatures

    dataset, known, novel = SPLITS[split]
    words = ["--setting", "gcd", "--dataset", dataset, "--data_dir", args.data_dir, "--seed", seed]
    words += ["--num_labeled_classes", known, "--num_unlabeled_classes", novel, "--backbone", args.backbone]
    words += ["--backbone_size", args.backbone_size, "--feature_cache", args.feature_cache]
    words += ["--labeled_classes", ",".join(drawn_classes(dataset, args.data_dir, known, seed))]
    settings = cli.parse("features", [str(word) for word in words])
    features = PretrainedFeatures(settings, None, torch.device(args.device))
    rows = []
    for name in names:
        begun = time.process_time()
        estimate = features.estimate(name, None, seed)
        rows.append(
            {
                **{"split": split, "estimator": name, "seed": seed, "truth": novel, "found": estimate.number},
                **{"low": estimate.near[0], "high": estimate.near[-1]},
                **{"relative error": abs(estimate.number - novel) / novel, "CPU, s": time.process_time() - begun},
            }
        )
    return rows


def drawn_classes(dataset: str, data_dir: str, known: int, seed: int) -> list[str]:
    """The known classes of a seed, by name."""
    import numpy as np

    from utils.data.containers import SourceRequest
    from utils.data.sources.readers import load_source

    names = load_source(SourceRequest(dataset, Path(data_dir))).class_names
    return [names[index] for index in np.random.RandomState(seed).permutation(len(names))[:known]]


def means(rows: list[dict]) -> list[dict]:
    """For each estimator what it found with every seed, and its mean relative errors in percent."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    table = []
    for name in dict.fromkeys(row["estimator"] for row in rows):
        line: dict = {"estimator": name}
        errors = []
        for split in splits:
            group = [row for row in rows if (row["estimator"], row["split"]) == (name, split)]
            line[split] = " ".join(str(row["found"]) for row in group)
            if group:
                errors.append(100 * statistics.mean(row["relative error"] for row in group))
                line[f"{split}, error %"] = errors[-1]
        table.append({**line, "mean error, %": statistics.mean(errors)})
    return table


if __name__ == "__main__":
    main()
