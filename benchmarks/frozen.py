#!/usr/bin/env python
"""Discovery on the features of a frozen backbone: accuracy beside k-means on the same features, and speed.

python benchmarks/frozen.py results --data_dir data --json logs/benchmarks/frozen.json
python benchmarks/frozen.py results --split CIFAR100-20 --mains all --seeds 0 --data_dir data --json FILE
python benchmarks/frozen.py speed

`results` runs each main with each seed through its command line; rows that are in --json already are not run again, and
features that are in --feature_cache are not extracted again. `speed` compares extraction with the bare forward pass of
the backbone, and epochs on features with the heads' matrix products.
"""

import argparse
import json
import statistics
from pathlib import Path

import commands
import measure

MAINS = {
    "UNO v2": "main_discover.py",
    "inter": "main_discover_inter.py",
    "intra": "main_discover_intra.py",
    "IIC": "main_discover_inter_intra.py",
    "MSE": "main_discover_mse.py",
}
SPLITS = {  # the class counts, and the over-clustering of the published runs
    "CIFAR10-5": ("CIFAR10", 5, 5, 10),
    "CIFAR100-20": ("CIFAR100", 80, 20, 5),
    "CIFAR100-50": ("CIFAR100", 50, 50, 3),
}
KEYS = {
    "novel, test": "unlab/test/acc/best",
    "novel, train": "unlab/train/acc/best",
    "known, test": "lab/test/acc",
    "joint, all": "joint/all",
}


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("what", choices=["results", "speed"])
    flags.add_argument("--split", default="CIFAR10-5", choices=list(SPLITS))
    flags.add_argument("--mains", default="UNO v2,IIC", help="names, comma-separated, or all")
    flags.add_argument("--seeds", default="0,1,2")
    flags.add_argument("--data_dir", default="data")
    flags.add_argument("--feature_cache", default="data/features")
    flags.add_argument("--log_dir", default="logs/benchmarks/frozen")
    flags.add_argument("--backbone", default="lite0")
    flags.add_argument("--backbone_size", type=int, default=96)
    flags.add_argument("--feature_views", type=int, default=6)
    flags.add_argument("--images", type=int, default=512, help="of speed")
    flags.add_argument("--more", default="", help="further flags of the mains, such as '--max_epochs 40'")
    args = measure.start(flags, words)
    return {"results": results, "speed": speed}[args.what](args)


def results(args: argparse.Namespace) -> dict:
    """The mains and k-means, seed by seed; then means."""
    rows = commands.rows_of(args.json)
    names = list(MAINS) if args.mains == "all" else args.mains.split(",")
    for name in ["k-means", *names]:
        for seed in map(int, args.seeds.split(",")):
            if not any((row["split"], row["method"], row["seed"]) == (args.split, name, seed) for row in rows):
                rows.append({"split": args.split, "method": name, "seed": seed, **one(args, name, seed)})
                measure.report(args, "Discovery on features of a frozen backbone", rows=rows, means=means(rows))
    return {"rows": rows, "means": means(rows)}


def one(args: argparse.Namespace, name: str, seed: int) -> dict:
    """A run of its own process: metrics, seconds of the whole command and of the extraction in it."""
    dataset, labeled, novel, overcluster = SPLITS[args.split]
    run = f"{args.split}-{name.replace(' ', '_')}-{seed}"
    common = ["--dataset", dataset, "--data_dir", args.data_dir, "--num_labeled_classes", labeled]
    common += ["--num_unlabeled_classes", novel, "--backbone", args.backbone, "--backbone_size", args.backbone_size]
    common += ["--feature_cache", args.feature_cache, "--seed", seed, "--log_dir", args.log_dir, "--run_name", run]
    if name == "k-means":
        command, metrics = ["scripts/baselines.py", *common], Path(args.log_dir) / run / "kmeans" / "metrics.json"
    else:
        command = [MAINS[name], *common, *recipe(args, overcluster)]
        metrics = Path(args.log_dir) / run / "metrics.json"
    times = commands.run(command, args.threads)
    found = json.loads(metrics.read_text())
    return {**{key: found.get(long) for key, long in KEYS.items()}, **times}


def recipe(args: argparse.Namespace, overcluster: int) -> list:
    """The settings of docs/features.md."""
    settings = {"num_heads": 4, "hidden_dim": 256, "proj_dim": 64, "overcluster_factor": overcluster, "max_epochs": 30}
    settings |= {"warmup_epochs": 2, "base_lr": 0.1, "epsilon_sk": 0.02, "check_val_every_n_epoch": 30}
    settings |= {"feature_views": args.feature_views, "num_sanity_val_steps": 0}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [*words, "--no-wandb", "--no-report", *args.more.split()]


def means(rows: list[dict]) -> list[dict]:
    """Mean over seeds, in percent, and the largest time of a command."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["split"], row["method"]), []).append(row)
    return [
        {
            **{"split": split, "method": method, "seeds": len(group)},
            **{key: 100 * statistics.mean(row[key] for row in group) for key in KEYS},
            "novel, test, each": " ".join(f"{100 * row['novel, test']:.1f}" for row in group),
            "longest, s": max(row["seconds"] for row in group),
        }
        for (split, method), group in groups.items()
    ]


def speed(args: argparse.Namespace) -> dict:
    """Extraction beside the bare forward pass, and epochs on features beside the heads' matrix products."""
    measure.memory_as_in_a_run(args.device)
    row = {"extraction": extraction_speed(args), "epoch": epoch_speed(args)}
    measure.report(args, "Speed on features of a frozen backbone", **{name: [value] for name, value in row.items()})
    return row


def extraction_speed(args: argparse.Namespace) -> dict:
    """Views a second of the extraction of random 32-pixel images, and of the backbone in a bare loop."""
    import numpy as np
    import torch

    from utils.data.backbone_views import seen_by
    from utils.data.features.blocks import BLOCK, view_blocks
    from utils.data.features.store import FeatureRequest
    from utils.data.specs import CIFAR10
    from utils.inference.extraction import Extraction
    from utils.nets.backbone import build_backbone
    from utils.transforms.pipeline import ViewPipeline

    device, views = torch.device(args.device), args.feature_views
    backbone = build_backbone(args.backbone, "pretrained", args.backbone_size).fix("frozen").to(device)
    backbone = backbone.to(memory_format=torch.channels_last)
    spec = seen_by(CIFAR10, backbone.data)
    images = np.random.default_rng(0).integers(0, 256, (args.images, 32, 32, 3), dtype=np.uint8)
    pipeline = ViewPipeline([spec.large] * views, spec.mean, spec.std)
    extraction = Extraction(backbone, device, progress=False)
    request = FeatureRequest("benchmark", {}, (len(images), views, backbone.num_features))
    shown = torch.randn(BLOCK, 3, args.backbone_size, args.backbone_size, device=device)
    shown = shown.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def bare() -> None:
        for _ in range(views * (len(images) // BLOCK)):
            backbone(shown)

    def extract() -> None:
        for _ in extraction.chunks(request, lambda first: view_blocks(images, pipeline, 0, device, 0, first), 0):
            pass

    def only_views() -> None:
        for _ in view_blocks(images, pipeline, 0, device, 0):
            pass

    seconds = measure.in_turns({"bare": bare, "extract": extract, "views": only_views}, 3, args.device)
    rates = {name: views * len(images) / value for name, value in seconds.items()}
    return {
        "views/s, bare forward": rates["bare"],
        "views/s, views alone": rates["views"],
        "views/s, extraction": rates["extract"],
        "of the bare forward": rates["extract"] / rates["bare"],
    }


def epoch_speed(args: argparse.Namespace) -> dict:
    """Images a second of a training step on features, and of its heads' matrix products alone."""
    import numpy as np
    import torch

    from main_discover_inter_intra import Discoverer
    from utils.data.features.loaders import FeatureViewLoader

    count, batch_size, features, hidden, proj = 10 * args.images, 256, 1280, 256, 64
    array = np.random.default_rng(0).standard_normal((count, args.feature_views, features)).astype(np.float16)
    labels = np.where(np.arange(count) % 2, np.arange(count) % 5, -1)
    place = {"num_views": 2, "batch_size": batch_size, "seed": 0, "device": args.device}
    loader = FeatureViewLoader(array, np.arange(count), labels, **place)
    sizes = {"num_heads": 4, "hidden_dim": hidden, "proj_dim": proj, "overcluster_factor": 10}
    module = Discoverer(num_labeled_classes=5, num_unlabeled_classes=5, dataset="CIFAR10", **sizes)
    wide = {"num_labeled": 5, "num_unlabeled": 5, "arch": "resnet18", "low_res": True, **sizes}
    encoder = torch.nn.Identity()
    encoder.num_features = features  # type: ignore[assignment]
    module.model = type(module.model)(**wide, encoder=encoder).to(args.device)
    module.to(args.device)
    (optimizer,), _ = module.configure_optimizers()

    def epoch() -> None:
        for step, batch in enumerate(loader):
            optimizer.zero_grad()
            module.training_step(batch, step).backward()
            optimizer.step()

    def loading() -> None:
        for _ in loader:
            pass

    heads, rows = 2 * sizes["num_heads"], 2 * batch_size
    x, first = torch.randn(heads, rows, features), torch.randn(heads, features, hidden)
    middle, second = torch.randn(heads, rows, hidden), torch.randn(heads, hidden, proj)
    x, first, middle, second = (tensor.to(args.device) for tensor in (x, first, middle, second))
    out, grad = x @ first, middle @ second

    def products() -> None:  # forward, gradients of weights, gradients of inputs (of the second layer alone)
        for _ in range(len(loader)):
            torch.matmul(x, first, out=out)
            x.mT @ out
            torch.matmul(middle, second, out=grad)
            middle.mT @ grad
            grad @ second.mT

    seconds = measure.in_turns({"epoch": epoch, "loading": loading, "products": products}, 3, args.device)
    rates = {name: len(loader) * batch_size / value for name, value in seconds.items()}
    return {
        "images/s, heads' products": rates["products"],
        "images/s, loading": rates["loading"],
        "images/s, epoch": rates["epoch"],
        "of the products": rates["epoch"] / rates["products"],
    }


if __name__ == "__main__":
    main()
