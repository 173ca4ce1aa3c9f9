"""Means over an epoch that stay on the device, so that a training step never waits for the host."""

from collections.abc import Callable, Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor


class EpochMeans:
    """Running means of named scalars; two small kernels a step, one transfer an epoch."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sum: Tensor | None = None
        self._count = 0

    def update(self, scalars: Mapping[str, Tensor]) -> None:
        """Add one step's scalars; the names must be the same in every step of an epoch."""
        values = torch.stack([value.detach().double() for value in scalars.values()])
        self._names = list(scalars)
        self._sum = values if self._sum is None else self._sum.add_(values)
        self._count += 1

    def compute(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Name -> mean since the last call; starts anew.

        Args:
            reduce: takes the mean of a vector over processes; called once, on all of them.
        """
        if self._sum is None:
            return {}
        means = reduce(self._sum / self._count)
        self._sum, self._count = None, 0
        return dict(zip(self._names, means, strict=True))


def log_epoch(module: pl.LightningModule, means: EpochMeans, learning_rate: float) -> None:
    """Log an epoch's means over all processes, and its learning rate.

    Reduced here and not by ``log_dict``, whose reduction runs when a metric is read, which rank 0 alone may do.
    """
    reduced = means.compute(lambda values: module.trainer.strategy.reduce(values, reduce_op="mean"))
    module.log_dict(reduced | {"lr": torch.tensor(learning_rate)})
