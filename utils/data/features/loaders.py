"""Loaders of features that were extracted before: those of several views in training, one view in evaluation.

Letters: N rows of the array, M images served, V cached views, n views of a batch, B batch, D features.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from utils.data.file_loaders import EpochBatches, batch_groups
from utils.data.loaders import EvalBatch, ViewBatch
from utils.data.randomness import Stream, stream_seed


class FeatureViewLoader:
    """Training batches: for each of B images n of its V cached views, in a new order each epoch.

    The order depends on (seed, epoch) and is the same on all ranks; which views of an image are taken, no two alike,
    on (seed, epoch, step, rank).

    Args:
        features: (N, V, D) float16, in memory or a memory map.
        rows: (M,) int64, the images served.
        labels: (M,) int64.
        num_views: n, at most V.
        half_labeled: as in :class:`utils.data.file_loaders.FileViewLoader`.
        batch_size, seed, rank, world_size, epoch, start, device, weights: as in
            :class:`utils.data.file_loaders.FileViewLoader`.
    """

    def __init__(
        self,
        features: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray,
        *,
        num_views: int,
        batch_size: int,
        seed: int,
        half_labeled: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        epoch: Callable[[], int] = lambda: 0,
        start: Callable[[], int] = lambda: 0,
        device: torch.device | str = "cpu",
        weights: np.ndarray | None = None,
    ) -> None:
        self.flat = features.reshape(-1, features.shape[-1])  # (N*V, D)
        self.cached_views, self.num_views = features.shape[1], num_views
        self.rows, self.labels = rows, torch.from_numpy(labels)
        self.seed, self.rank, self.epoch, self.start = seed, rank, epoch, start
        self.device = torch.device(device)
        groups, sizes = batch_groups(labels, batch_size, half_labeled if weights is None else None)
        self.batches = EpochBatches(groups, sizes, seed, rank, world_size, weights)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[ViewBatch]:
        epoch, start = self.epoch(), self.start()
        for step, indices in enumerate(self.batches.indices(epoch, start), start):
            places = self.rows[indices] * self.cached_views + self.chosen_views(epoch, step, len(indices))  # (n, B)
            features = to_device(np.take(self.flat, places, axis=0), self.device)
            yield list(features), _moved(self.labels[indices], self.device)

    def batch_rows(self, epoch: int, step: int) -> Tensor:
        """Which images (B,) a batch of this rank holds."""
        return torch.from_numpy(next(self.batches.indices(epoch, step)))

    def chosen_views(self, epoch: int, step: int, batch_size: int) -> np.ndarray:
        """(n, B): the cached views that stand for the n views of a step's images."""
        generator = np.random.default_rng(stream_seed(Stream.VIEWS, self.seed, epoch, step, self.rank))
        return generator.random((batch_size, self.cached_views)).argsort(axis=1)[:, : self.num_views].T


class FeatureEvalLoader:
    """Evaluation batches: the features of every image once, in order, under the laws of ``EvalLoader``.

    Args:
        features: (N, D) float16, in memory or a memory map.
        rows: (M,) int64, the images served.
        labels: (M,) int64.
        batch_size, rank, world_size, device: as in :class:`utils.data.loaders.EvalLoader`.
    """

    def __init__(
        self,
        features: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.features, self.batch_size, self.device = features, batch_size, torch.device(device)
        self.rows, self.labels = rows[rank::world_size], torch.from_numpy(labels[rank::world_size])

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[EvalBatch]:
        for first in range(0, len(self.rows), self.batch_size):
            here = slice(first, first + self.batch_size)
            features = to_device(np.take(self.features, self.rows[here], axis=0), self.device)
            yield features, _moved(self.labels[here], self.device)


def to_device(features: np.ndarray, device: torch.device) -> Tensor:
    """float16 on the host -> float32 on the device."""
    return _moved(torch.from_numpy(features), device).float()


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
