#!/usr/bin/env python
"""Generalized discovery on the features of a frozen backbone: SimGCD beside semi-supervised k-means.

python benchmarks/generalized.py --data CIFAR10-500 --data_dir FOLDER --json logs/benchmarks/generalized.json
python benchmarks/generalized.py --data CIFAR10 --json logs/benchmarks/generalized.json
python benchmarks/generalized.py --data CIFAR100 --json logs/benchmarks/generalized.json

Half of the known classes' training images are labelled; the accuracies are those of the unlabelled training images,
under one matching. --seed of the commands draws which images are labelled, the prototypes and the order of the images.
CIFAR10-500 is a cifar10.npz with 500 training and 100 test images a class in FOLDER. Rows that are in --json already
are not run again, and features that are in --feature_cache are not extracted again.
"""

import argparse
import json
import statistics
from pathlib import Path

import commands
import measure

DATA = {  # dataset, known and novel classes, side of the images in pixels
    "CIFAR10-500": ("CIFAR10", 5, 5, 224),
    "CIFAR10": ("CIFAR10", 5, 5, 96),
    "CIFAR100": ("CIFAR100", 80, 20, 96),
}
CLUSTERINGS = {"k-means": "kmeans", "semi-supervised k-means": "semi_kmeans"}  # of baselines/
METHODS = (*CLUSTERINGS, "SimGCD")
COMPONENTS = 64  # principal components in which k-means is done
PARTS = ("all", "old", "new")


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--data", default="CIFAR10-500", choices=list(DATA))
    flags.add_argument("--methods", default=",".join(METHODS), help="names, comma-separated")
    flags.add_argument("--seeds", default="0,1,2")
    flags.add_argument("--data_dir", default="data")
    flags.add_argument("--feature_cache", default="data/features")
    flags.add_argument("--log_dir", default="logs/benchmarks/generalized")
    flags.add_argument("--backbone", default="lite0")
    flags.add_argument("--backbone_size", type=int, default=None, help="pixels; that of --data when absent")
    flags.add_argument("--more", default="", help="further flags of main_discover_gcd.py, such as '--memax_weight 2'")
    args = measure.start(flags, words)
    rows = commands.rows_of(args.json)
    for name in args.methods.split(","):
        for seed in map(int, args.seeds.split(",")):
            if not any((row["data"], row["method"], row["seed"]) == (args.data, name, seed) for row in rows):
                rows.append({"data": args.data, "method": name, "seed": seed, **one(args, name, seed)})
                measure.report(args, "Generalized discovery on frozen features", rows=rows, means=means(rows))
    return {"rows": rows, "means": means(rows)}


def one(args: argparse.Namespace, name: str, seed: int) -> dict:
    """A run of its own process: accuracies on the unlabelled training images, seconds."""
    dataset, known, novel, size = DATA[args.data]
    run = f"{args.data}-{name.replace(' ', '_')}-{seed}"
    common = ["--dataset", dataset, "--data_dir", args.data_dir, "--num_labeled_classes", known]
    common += ["--num_unlabeled_classes", novel, "--backbone", args.backbone]
    common += ["--backbone_size", args.backbone_size or size, "--feature_cache", args.feature_cache]
    common += ["--seed", seed, "--log_dir", args.log_dir, "--run_name", run]
    folder = Path(args.log_dir) / run
    if name == "SimGCD":
        recipe = ["--feature_views", 0, "--num_large_crops", 1, "--no-wandb", "--no-report"]
        recipe += ["--check_val_every_n_epoch", 60, "--num_sanity_val_steps", 0]
        times = commands.run(["main_discover_gcd.py", *common, *recipe, *args.more.split()], args.threads)
    else:
        folder /= CLUSTERINGS[name]
        more = ["--setting", "gcd", "--pca", COMPONENTS]
        times = commands.run(["-m", f"baselines.{folder.name}", *common, *more], args.threads)
    found = json.loads((folder / "metrics.json").read_text())
    after = times["seconds"] - times["extraction"]
    return {**{part: found[f"unlab/train/acc/{part}"] for part in PARTS}, **times, "after extraction": after}


def means(rows: list[dict]) -> list[dict]:
    """Mean over seeds, in percent, the largest time after the extraction, the mean of the processors'."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["method"]), []).append(row)
    return [
        {
            **{"data": data, "method": method, "seeds": len(group)},
            **{part: 100 * statistics.mean(row[part] for row in group) for part in PARTS},
            "all, each": " ".join(f"{100 * row['all']:.1f}" for row in group),
            "longest after extraction, s": max(row["after extraction"] for row in group),
            "CPU, s": statistics.mean(row["CPU seconds"] for row in group),
        }
        for (data, method), group in groups.items()
    ]


if __name__ == "__main__":
    main()
