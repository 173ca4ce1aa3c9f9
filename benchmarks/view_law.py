#!/usr/bin/env python
"""The law of the CIFAR views: statistics of views computed here beside those of torchvision's transforms on PIL images.

python benchmarks/view_law.py --data_dir data --rounds 5 --threads 1

Every round views each training image once. z is the difference of the means over the rounds in standard errors.
"""

import random
from pathlib import Path

import measure


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--data_dir", default="data", help="holds cifar10.npz")
    flags.add_argument("--rounds", type=int, default=5)
    flags.set_defaults(device="cpu")
    args = measure.start(flags, words)
    import numpy as np
    import plain
    import torch

    from utils.data.specs import dataset_spec
    from utils.transforms.pipeline import ViewPipeline

    spec = dataset_spec("CIFAR10")
    with np.load(Path(args.data_dir) / "cifar10.npz") as file:
        images = torch.from_numpy(file["train_images"]).permute(0, 3, 1, 2).contiguous()
    arrays = images.permute(0, 2, 3, 1).numpy(), torch.zeros(len(images), dtype=torch.long).numpy()
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    random.seed(0)
    tables = {}
    *_, small = large, *_ = plain.cifar_views(spec.mean, spec.std)
    for name, law, with_pil in (("large", spec.large, large), ("small", spec.small, small)):
        pipeline = ViewPipeline([law], spec.mean, spec.std)
        pil = plain.PlainImages(*arrays, [with_pil])
        theirs, ours = [], []
        for _ in range(args.rounds):
            ours.append(statistics(torch.cat([pipeline(chunk, generator)[0] for chunk in images.split(128)])))
            theirs.append(statistics(torch.stack([pil[row][0][0] for row in range(len(images))])))
        tables[name] = [compared(key, [x[key] for x in ours], [x[key] for x in theirs]) for key in ours[0]]
    measure.report(args, "The law of the CIFAR views", **tables)
    return tables


def statistics(views) -> dict[str, float]:
    """Means over normalised views (N, 3, h, w)."""
    gray = views.mean(1)
    return {
        "red": views[:, 0].mean().item(),
        "green": views[:, 1].mean().item(),
        "blue": views[:, 2].mean().item(),
        "spread of red": views[:, 0].flatten(1).std(1).mean().item(),
        "spread of blue": views[:, 2].flatten(1).std(1).mean().item(),
        "difference of neighbours": gray.diff(dim=2).abs().mean().item(),
        "second difference": gray.diff(n=2, dim=2).abs().mean().item(),
        "saturation": (views.amax(1) - views.amin(1)).mean().item(),
    }


def compared(name: str, ours: list[float], theirs: list[float]) -> dict[str, object]:
    """A row: both means, and their difference in standard errors of the rounds."""
    import numpy as np

    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / len(ours))
    gap = np.mean(ours) - np.mean(theirs)
    return {"mean of": name, "here": float(np.mean(ours)), "PIL": float(np.mean(theirs)), "z": float(gap / error)}


if __name__ == "__main__":
    main()
