#!/usr/bin/env python
"""Speed of contrastive disentangling: views and training step, ours and a plain version, in one run.

    python benchmarks/disentangle_step.py                                   # on a CPU: a small network, a few steps
    python benchmarks/disentangle_step.py --backbone ResNet34 --width 64 --image_size 224 --steps 50   # on a GPU

The plain version is what one writes first: torchvision's transforms on PIL images one by one, the two views through the
network one after the other, NT-Xent with a boolean mask of the negatives, and the loss read on the host every step.
Images are random, of 32x32 pixels, as CIFAR's.
"""

from collections.abc import Callable

import measure
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


class Turns:
    """Views and step of ours and of the plain version, from the same images."""

    def __init__(self, args) -> None:
        from torchvision.transforms.functional import to_pil_image

        from utils.data.specs import contrastive_view
        from utils.methods.disentangler import Disentangler
        from utils.transforms.pipeline import ViewPipeline

        torch.manual_seed(0)
        self.device, self.size = args.device, args.image_size
        images = torch.randint(0, 256, (args.batch_size, 3, 32, 32), dtype=torch.uint8)
        self.pictures, self.images = [to_pil_image(image) for image in images], images.to(self.device)
        self.generator = torch.Generator(device=self.device).manual_seed(0)
        self.pipeline = ViewPipeline([contrastive_view(self.size, 0.5, False)] * 2, (0.0,) * 3, (1.0,) * 3)
        flags = {"backbone": args.backbone, "width": args.width, "image_size": self.size}
        self.ours, self.plain = (Disentangler(**flags) for _ in range(2))
        self.ours.model.to(self.device)
        self.plain.model.to(self.device, memory_format=torch.contiguous_format)
        self.optimizer = self.ours.configure_optimizers()
        self.plain_optimizer = torch.optim.Adam(self.plain.parameters(), lr=3e-4)

    def views(self) -> list[Tensor]:
        return self.pipeline(self.images, self.generator)

    def plain_views(self) -> list[Tensor]:
        return plain_views(self.pictures, self.size, 0.5)

    def step(self, views: list[Tensor]) -> None:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            losses = self.ours.compute_losses(self.ours.model(views))
        self.optimizer.zero_grad()
        losses["loss"].backward()
        self.optimizer.step()
        self.ours.means.update(losses)

    def flops(self, views: list[Tensor]) -> float:
        """Of one forward and backward pass, counted."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.step(views)
        return counter.get_total_flops()

    def plain_step(self, views: list[Tensor]) -> None:
        plain_step(self.plain.model, self.plain_optimizer, views, self.device)

    def check_that_nothing_waits(self) -> None:
        """The step does not wait for a GPU: it would raise."""
        torch.cuda.set_sync_debug_mode("error")
        self.step(self.views())
        torch.cuda.set_sync_debug_mode("default")


def plain_work(args, kind: str) -> Callable[[], object]:
    """What the plain version does in its own process: ``views``, a ``step`` on views that are there, or ``both``."""
    if args.threads:
        torch.set_num_threads(args.threads)
    turns = Turns(args)
    given = [view.contiguous() for view in turns.views()]
    works: dict[str, Callable[[], object]] = {
        "views": turns.plain_views,
        "step": lambda: turns.plain_step(given),
        "both": lambda: turns.plain_step(turns.plain_views()),
    }
    return works[kind]


def main(words=None) -> dict:
    """Measure, print, return the table."""
    flags = measure.parser(__doc__)
    flags.add_argument("--backbone", default="ResNet18")
    flags.add_argument("--width", type=int, default=16, help="channels of the first stage")
    flags.add_argument("--image_size", type=int, default=96, help="side of the views")
    flags.add_argument("--batch_size", type=int, default=64)
    flags.add_argument("--steps", type=int, default=5, help="timed rounds")
    args = measure.start(flags, words)
    measure.memory_as_in_a_run(args.device)
    turns = Turns(args)
    given = turns.views()
    works = {
        ("views", "ours"): turns.views,
        ("views", "plain"): measure.apart(plain_work, args, "views"),
        ("step, views given", "ours"): lambda: turns.step(given),
        ("step, views given", "plain"): measure.apart(plain_work, args, "step"),
        ("views and step", "ours"): lambda: turns.step(turns.views()),
        ("views and step", "plain"): measure.apart(plain_work, args, "both"),
    }
    if args.device == "cuda":
        turns.step(given)
        turns.check_that_nothing_waits()
    seconds = measure.in_turns(works, args.steps, args.device)
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in works):
        ours, plain = (args.batch_size / seconds[kind, who] for who in ("ours", "plain"))
        rows.append({"images/s": kind, "ours": ours, "plain": plain, "times plain": ours / plain})
    title = f"Contrastive disentangling, {args.backbone} of width {args.width}, {args.image_size} pixels"
    measure.report(args, title, speed=rows)
    return {"speed": rows}


if __name__ == "__main__":
    main()
