"""Loaders of images that live as one uint8 tensor on the training device: gathered and augmented there, in batches.

Letters: N images, B batch, V views.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from utils.data.randomness import Stream, stream_seed
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline

ViewBatch = tuple[list[Tensor], Tensor]
EvalBatch = tuple[Tensor, Tensor]


class ViewLoader:
    """Training batches: V random views of B images, all in a new order each epoch.

    The order depends on (seed, epoch) and is the same on all ranks, of which each takes every ``world_size``-th
    image; the views depend on (seed, epoch, step, rank). What does not fill a batch on every rank is left out of that
    epoch. No step waits for the device.

    Args:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64.
        pipeline: makes the views.
        batch_size: B, on each rank.
        seed: of the run.
        rank, world_size: which of how many processes this is.
        epoch: called when an epoch's first batch is drawn.
        start: called then too: the first step to draw, above 0 where a run goes on in the middle of an epoch.
        device: where images are kept and views are made.
        weights: (N,) float64: an epoch is drawn with replacement, each image with a chance in proportion to its
            weight; None: every image once.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        pipeline: ViewPipeline,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        epoch: Callable[[], int] = lambda: 0,
        start: Callable[[], int] = lambda: 0,
        device: torch.device | str = "cpu",
        weights: np.ndarray | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.images, self.labels = images.to(self.device), labels.to(self.device)
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.pipeline = pipeline
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return len(self.labels) // self.world_size // self.batch_size

    def __iter__(self) -> Iterator[ViewBatch]:
        epoch = self.epoch()
        order = self._order(epoch)
        generator = torch.Generator(device=self.device)
        for step in range(self.start(), len(self)):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            generator.manual_seed(stream_seed(Stream.VIEWS, self.seed, epoch, step, self.rank))
            yield self.pipeline(self.images.index_select(0, rows), generator), self.labels.index_select(0, rows)

    def batch_rows(self, epoch: int, step: int) -> Tensor:
        """Which images (B,) a batch of this rank holds; on the device, without waiting for it."""
        return self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def _order(self, epoch: int) -> Tensor:
        """This rank's images for a whole epoch."""
        # Sums of weights have no fixed order on a GPU, where deterministic algorithms refuse them.
        generator = torch.Generator(device=self.device if self.weights is None else "cpu")
        generator.manual_seed(stream_seed(Stream.ORDER, self.seed, epoch))
        if self.weights is None:
            order = torch.randperm(len(self.labels), generator=generator, device=self.device)
        else:
            order = torch.multinomial(self.weights, len(self.labels), replacement=True, generator=generator)
        return order[self.rank :: self.world_size].to(self.device)


class EvalLoader:
    """Evaluation batches: every image once, in order, the last batch as short as it comes.

    Ranks take every ``world_size``-th image, without padding, so that sums over ranks are exact.

    Args:
        images: (N, 3, H, W) uint8.
        labels: (M,) int64, of the images shown.
        pipeline: makes the one view, float.
        batch_size, rank, world_size, device: as in :class:`ViewLoader`.
        rows: (M,) int64, which images to show; None: all.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        pipeline: EvalPipeline,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        rows: Tensor | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.images = images.to(self.device)
        rows = torch.arange(len(images)) if rows is None else rows
        self.rows = rows[rank::world_size].to(self.device)
        self.labels = labels[rank::world_size].to(self.device)
        self.pipeline = pipeline
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[EvalBatch]:
        for rows, labels in zip(self.rows.split(self.batch_size), self.labels.split(self.batch_size), strict=True):
            if len(rows):
                yield self.pipeline(self.images.index_select(0, rows)), labels
