#!/usr/bin/env python
"""Speed on the features of a frozen backbone: python benchmarks/frozen.py.

Compares extraction with the bare forward pass of the backbone, and epochs on features with the heads' matrix products.
Accuracy is measured by scripts/compare.py.
"""

import argparse

import measure


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--backbone", default="lite0")
    flags.add_argument("--backbone_size", type=int, default=96)
    flags.add_argument("--feature_views", type=int, default=6)
    flags.add_argument("--images", type=int, default=512)
    args = measure.start(flags, words)
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
