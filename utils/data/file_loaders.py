"""Loaders of images that are files: workers decode and crop, bytes leave them, the device does the rest in batches.

Letters: N images, B batch, V views.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from utils.data.dead_workers import told_of_dead_workers
from utils.data.file_datasets import EvalFiles, ViewFiles, collate, unpack
from utils.data.loaders import EvalBatch, ViewBatch
from utils.data.randomness import Stream, stream_seed
from utils.data.workers import usable_workers
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline
from utils.transforms.spec import ViewSpec

PREFETCHED = 4  # batches that each worker keeps ready


class EpochBatches:
    """Batch sampler: for each batch of an epoch B triples (epoch, position in the epoch, index of the image).

    Every batch holds a fixed number of each group (all images; or labelled and unlabelled ones). A group has its own
    order, a function of (seed, epoch), the same on all ranks. The longest group makes one pass in an epoch, less what
    does not fill a batch; shorter ones are gone through again, reordered, until it ends.

    Args:
        groups: int64 indices of the images of each group.
        sizes: how many of each group a batch on each rank holds.
        seed, rank, world_size, weights: as in :class:`utils.data.loaders.ViewLoader`; weights go with one group.
    """

    def __init__(
        self,
        groups: Sequence[np.ndarray],
        sizes: Sequence[int],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        weights: np.ndarray | None = None,
    ) -> None:
        self.groups, self.sizes = groups, sizes
        self.weights = None if weights is None else weights / weights.sum()
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return max(len(group) // (size * self.world_size) for group, size in zip(self.groups, self.sizes, strict=True))

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        epoch, start = self.epoch, self.start
        for step, indices in enumerate(self.indices(epoch, start), start):
            first = (step * self.world_size + self.rank) * len(indices)
            yield [(epoch, first + place, index) for place, index in enumerate(indices.tolist())]

    def indices(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """The images (B,) of the batches of an epoch from a step on."""
        orders = [
            self._order(epoch, number, group, size)
            for number, (group, size) in enumerate(zip(self.groups, self.sizes, strict=True))
        ]
        for step in range(start, len(self)):
            yield np.concatenate(
                [order[step * size : (step + 1) * size] for order, size in zip(orders, self.sizes, strict=True)]
            )

    def _order(self, epoch: int, number: int, group: np.ndarray, size: int) -> np.ndarray:
        """This rank's indices of one group for the whole epoch."""
        needed = len(self) * size * self.world_size
        if self.weights is not None:
            generator = np.random.default_rng(stream_seed(Stream.ORDER, self.seed, epoch, number, 0))
            return generator.choice(group, needed, p=self.weights)[self.rank :: self.world_size]
        passes = [
            np.random.default_rng(stream_seed(Stream.ORDER, self.seed, epoch, number, turn)).permutation(group)
            for turn in range(-(-needed // len(group)))
        ]
        return np.concatenate(passes)[:needed][self.rank :: self.world_size]


def batch_groups(labels: np.ndarray, batch_size: int, half_labeled: int | None) -> tuple[list[np.ndarray], list[int]]:
    """Groups and sizes of :class:`EpochBatches`: all images, or with L for half-batches labelled ones and others."""
    if half_labeled is None:
        return [np.arange(len(labels))], [batch_size]
    labeled = (labels >= 0) & (labels < half_labeled)
    return [np.flatnonzero(labeled), np.flatnonzero(~labeled)], [batch_size // 2, batch_size - batch_size // 2]


class FileViewLoader:
    """Training batches from files, under the laws of :class:`utils.data.loaders.ViewLoader`.

    An image's crop depends on (seed, epoch, its position in the epoch), whatever the number of workers; the rest of
    its views on (seed, epoch, step, rank).

    Args:
        paths: N image files.
        labels: (N,) int64.
        pipeline: finishes the views on the device.
        views: laws of the V views; workers do the crops.
        half_labeled: None, or L for half-batches: half of each batch has labels in 0..L-1, half others (in an odd
            one these are one more), both shuffled on their own; an epoch is one pass over the longer list.
        num_workers: processes that decode; 0: this one does.
        batch_size, seed, rank, world_size, epoch, start, device, weights: as in
            :class:`utils.data.loaders.ViewLoader`; with weights a batch is no half-batch.

    Raises:
        UserError: from the iterator, for a file that cannot be decoded, naming it.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: np.ndarray,
        pipeline: ViewPipeline,
        views: Sequence[ViewSpec],
        *,
        batch_size: int,
        seed: int,
        num_workers: int = 0,
        half_labeled: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        epoch: Callable[[], int] = lambda: 0,
        start: Callable[[], int] = lambda: 0,
        device: torch.device | str = "cpu",
        weights: np.ndarray | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.pipeline, self.epoch, self.start = pipeline, epoch, start
        self.seed, self.rank = seed, rank
        groups, sizes = batch_groups(labels, batch_size, half_labeled if weights is None else None)
        self.batches = EpochBatches(groups, sizes, seed, rank, world_size, weights)
        num_workers = usable_workers(num_workers, len(self.batches))
        self._loader = DataLoader(
            ViewFiles(paths, labels, views, seed),
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            prefetch_factor=PREFETCHED if num_workers else None,
            pin_memory=self.device.type == "cuda",
        )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[ViewBatch]:
        epoch = self.batches.epoch = self.epoch()
        start = self.batches.start = self.start()
        generator = torch.Generator(device=self.device)
        for step, batch in enumerate(decoded(self._loader), start):
            crops, labels = unpack(batch, self.device)
            generator.manual_seed(stream_seed(Stream.VIEWS, self.seed, epoch, step, self.rank))
            yield self.pipeline.finish(crops, generator), labels

    def batch_rows(self, epoch: int, step: int) -> torch.Tensor:
        """Which images (B,) a batch of this rank holds."""
        return torch.from_numpy(next(self.batches.indices(epoch, step)))


class FileEvalLoader:
    """Evaluation batches from files, under the laws of :class:`utils.data.loaders.EvalLoader`.

    Args:
        paths: N image files.
        labels: (N,) int64.
        pipeline: its first part runs in the workers, the rest on the device.
        square: as in :class:`utils.data.file_datasets.EvalFiles`.
        num_workers: processes that decode; they end with the pass, for several of these loaders exist at a time.
        batch_size, rank, world_size, device: as in :class:`utils.data.loaders.EvalLoader`.

    Raises:
        UserError: from the iterator, for a file that cannot be decoded, naming it.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: np.ndarray,
        pipeline: EvalPipeline,
        *,
        batch_size: int,
        square: bool = True,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.pipeline = pipeline
        files = EvalFiles(paths[rank::world_size], labels[rank::world_size], pipeline, square)
        self._loader: DataLoader = DataLoader(
            files,
            batch_size=batch_size,
            collate_fn=collate,
            num_workers=usable_workers(num_workers, -(-len(files) // batch_size)),
            pin_memory=self.device.type == "cuda",
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[EvalBatch]:
        for batch in decoded(self._loader):
            (images,), labels = unpack(batch, self.device)
            yield self.pipeline.finish(images), labels


def decoded(loader: DataLoader) -> Iterator[Any]:
    """The batches of a loader; a worker that dies is an error for the user."""
    with told_of_dead_workers(ConnectionError, EOFError):  # its pipe may break before torch hears of its death
        yield from loader
