#!/usr/bin/env python
"""Speed of contrastive disentangling: views and training step, ours and a plain version, in one run.

    python benchmarks/disentangle_step.py                                   # on a CPU: a small network, a few steps
    python benchmarks/disentangle_step.py --backbone ResNet34 --width 64 --image_size 224 --steps 50   # on a GPU

The plain version is what one writes first: torchvision's transforms on PIL images one by one, the two views through the
network one after the other, NT-Xent with a boolean mask of the negatives, and the loss read on the host every step.
Images are random, of 32x32 pixels, as CIFAR's. Prints a table and writes the same as JSON (--out).
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor


def plain_views(images: list, size: int, s: float) -> list[Tensor]:
    """Two views of each PIL image, one after the other."""
    from torchvision import transforms

    jitter = transforms.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
        ]
    )
    return [torch.stack([transform(image) for image in images]) for _ in range(2)]


def plain_nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Positives and negatives picked out of the matrix by indices and a mask."""
    count = len(first)
    vectors = F.normalize(torch.cat([first, second]), dim=1)
    similarity = torch.mm(vectors, vectors.T) / temperature
    positives = torch.cat([torch.diag(similarity, count), torch.diag(similarity, -count)]).reshape(2 * count, 1)
    mask = torch.ones(2 * count, 2 * count, dtype=torch.bool, device=first.device)
    for i in range(2 * count):
        mask[i, i] = mask[i, (i + count) % (2 * count)] = False
    negatives = similarity[mask].reshape(2 * count, -1)
    labels = torch.zeros(2 * count, dtype=torch.long, device=first.device)
    return F.cross_entropy(torch.cat([positives, negatives], dim=1), labels)


def plain_step(net: torch.nn.Module, optimizer: torch.optim.Optimizer, views: list[Tensor], device: str) -> float:
    """Forward view by view in float32, the losses as above, and their value to the host."""
    first, second = (net(view.to(device)) for view in views)
    loss = plain_nt_xent(first["projections"], second["projections"], 0.5)
    f1, f2 = first["features"], second["features"]
    probabilities = torch.cat([f1, f2]).clamp(1e-7, 1 - 1e-7)
    bits = probabilities * probabilities.log2() + (1 - probabilities) * (1 - probabilities).log2()
    loss = loss + plain_nt_xent(f1.T, f2.T, 1.0) + bits.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def seconds(run: Callable[[], object], device: str, repeats: int) -> float:
    """Median duration of a call, after one that does not count."""
    durations = []
    for _ in range(repeats + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - started)
    return sorted(durations[1:])[len(durations[1:]) // 2]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="ResNet18", help="[ResNet18]")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage [16]")
    parser.add_argument("--image_size", type=int, default=96, help="side of the views [96]")
    parser.add_argument("--batch_size", type=int, default=64, help="images [64]")
    parser.add_argument("--steps", type=int, default=3, help="of each kind; the median counts [3]")
    parser.add_argument("--out", default="logs/disentangle_step.json", help="[logs/disentangle_step.json]")
    args = parser.parse_args()

    from torchvision.transforms.functional import to_pil_image

    from utils.data.specs import contrastive_view
    from utils.disentangler import Disentangler
    from utils.files import write_json
    from utils.transforms.pipeline import ViewPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    images = torch.randint(0, 256, (args.batch_size, 3, 32, 32), dtype=torch.uint8)
    pictures, images = [to_pil_image(image) for image in images], images.to(device)
    generator = torch.Generator(device=device).manual_seed(0)
    pipeline = ViewPipeline([contrastive_view(args.image_size, 0.5, False)] * 2, (0.0,) * 3, (1.0,) * 3)
    flags = {"backbone": args.backbone, "width": args.width, "image_size": args.image_size}
    ours, plain = (Disentangler(**flags) for _ in range(2))
    ours.model.to(device), plain.model.to(device, memory_format=torch.contiguous_format)
    optimizer = ours.configure_optimizers()
    plain_optimizer = torch.optim.Adam(plain.parameters(), lr=3e-4)

    def step(views: list[Tensor]) -> None:
        mixed = torch.autocast("cuda", dtype=torch.bfloat16) if device == "cuda" else nullcontext()
        with mixed:
            losses = ours.compute_losses(ours.model(views))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        ours.means.update(losses)

    given = pipeline(images, generator)
    contiguous = [view.contiguous() for view in given]
    step(given)
    if device == "cuda":  # the step does not wait for the device: it would raise
        torch.cuda.set_sync_debug_mode("error")
        step(pipeline(images, generator))
        torch.cuda.set_sync_debug_mode("default")
    kinds: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "views": (
            lambda: pipeline(images, generator),
            lambda: plain_views(pictures, args.image_size, 0.5),
        ),
        "step, views given": (
            lambda: step(given),
            lambda: plain_step(plain.model, plain_optimizer, contiguous, device),
        ),
        "views and step": (
            lambda: step(pipeline(images, generator)),
            lambda: plain_step(plain.model, plain_optimizer, plain_views(pictures, args.image_size, 0.5), device),
        ),
    }
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    model = f"{args.backbone} width {args.width}, {args.image_size} pixels, batch {args.batch_size}"
    print(f"{name}, torch {torch.__version__}, {model}")
    print(f"{'images/s':18}  {'ours':>9}  {'plain':>9}  ratio")
    results: dict[str, float | str] = {"device": name, "torch": torch.__version__, **vars(args)}
    for kind, runs in kinds.items():
        rates = [args.batch_size / seconds(run, device, args.steps) for run in runs]
        print(f"{kind:18}  {rates[0]:9.1f}  {rates[1]:9.1f}  {rates[0] / rates[1]:5.2f}")
        results |= {f"{kind}/ours": rates[0], f"{kind}/plain": rates[1]}
    write_json(args.out, results)


if __name__ == "__main__":
    main()
