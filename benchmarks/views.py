#!/usr/bin/env python
"""Images/s of the four CIFAR views: batched on the device, and with PIL in as many processes as there are cores.

python benchmarks/views.py --device cpu --batch_size 256
"""

import os

import measure


def main(words=None) -> dict:
    """Measure, print, return the tables."""
    flags = measure.parser(__doc__)
    flags.add_argument("--batch_size", type=int, default=256)
    flags.add_argument("--rounds", type=int, default=7)
    flags.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 16), help="processes for PIL")
    args = measure.start(flags, words)
    import plain
    import torch

    from utils.data.specs import dataset_spec
    from utils.transforms.pipeline import ViewPipeline

    spec = dataset_spec("CIFAR10")
    count = args.batch_size * args.workers
    images = smooth_images(count, 32)
    on_device = images.to(args.device)
    generator = torch.Generator(device=args.device)
    pipelines = {
        "four views": ViewPipeline([spec.large] * 2 + [spec.small] * 2, spec.mean, spec.std),
        "two large": ViewPipeline([spec.large] * 2, spec.mean, spec.std),
        "two small": ViewPipeline([spec.small] * 2, spec.mean, spec.std),
    }
    works = {name: lambda p=p: p(on_device[: args.batch_size], generator) for name, p in pipelines.items()}

    arrays = images.permute(0, 2, 3, 1).contiguous().numpy(), torch.zeros(count, dtype=torch.long).numpy()
    data = plain.PlainImages(*arrays, plain.cifar_views(spec.mean, spec.std))
    keep = {"persistent_workers": True, "worker_init_fn": plain.one_thread}
    loader = torch.utils.data.DataLoader(data, args.batch_size, num_workers=args.workers, **keep)

    def with_pil() -> None:
        for _ in loader:
            pass

    seconds = measure.in_turns(works | {"PIL": with_pil}, args.rounds, args.device)
    rates = {name: (count if name == "PIL" else args.batch_size) / value for name, value in seconds.items()}
    rows = [{"views": name, "images/s": rates[name]} for name in works]
    rows.append({"views": f"four views, PIL in {args.workers} processes", "images/s": rates["PIL"]})
    ratio = {"batched / PIL": rates["four views"] / rates["PIL"]}
    measure.report(args, "CIFAR views", rates=rows, ratio=ratio)
    return {"rates": rows, "ratio": ratio}


def smooth_images(count: int, size: int):
    """(count, 3, size, size) uint8 that look like photographs to a histogram and a codec: soft blobs of colour."""
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    fine = torch.rand(count, 3, size, size, generator=generator)
    images = F.interpolate(coarse, size=(size, size), mode="bicubic") * 0.9 + fine * 0.1
    return (images * 255).clamp(0, 255).to(torch.uint8)


if __name__ == "__main__":
    main()
