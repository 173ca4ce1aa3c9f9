"""Means over an epoch that stay on the device, so that a training step never waits for the host."""

from collections.abc import Callable, Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor


class EpochMeans:
    """Running means of named scalars; a few small kernels a step, one transfer an epoch.

    A step with a number that is not finite is left out; :attr:`last` shows it.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.last: Tensor | None = None  # the scalars of the last step
        self._sum: Tensor | None = None
        self._count: Tensor | None = None

    def update(self, scalars: Mapping[str, Tensor]) -> None:
        """Add one step's scalars; the names must be the same in every step of an epoch."""
        self.names = list(scalars)
        self.last = values = torch.stack([value.detach() for value in scalars.values()]).double()
        finite = values.isfinite().all()
        if self._sum is None or self._count is None:
            self._sum, self._count = torch.zeros_like(values), values.new_zeros(())
        self._sum += torch.where(finite, values, 0)
        self._count += finite

    def compute(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Name -> mean since the last call; starts anew.

        Args:
            reduce: takes the sum of a vector over processes; called once, on all of them.
        """
        if self._sum is None or self._count is None:
            return {}
        *sums, count = reduce(torch.cat([self._sum, self._count[None]]))  # processes may have left out other steps
        self._sum = self._count = None
        return {name: total / count for name, total in zip(self.names, sums, strict=True)}

    def state(self) -> dict[str, Tensor]:
        """Name -> sum of the epoch so far, and the number of steps as ``""``; empty at the start of an epoch."""
        if self._sum is None or self._count is None:
            return {}
        return dict(zip(self.names, self._sum, strict=True)) | {"": self._count}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        if state:
            self.names = [name for name in state if name]
            self._sum = torch.stack([state[name] for name in self.names])
            self._count = state[""].clone()


def log_epoch(module: pl.LightningModule, means: EpochMeans, learning_rate: float) -> None:
    """Log an epoch's means over all processes, and its learning rate.

    Reduced here and not by ``log_dict``, whose reduction runs when a metric is read, which rank 0 alone may do.
    """
    reduced = means.compute(lambda values: module.trainer.strategy.reduce(values, reduce_op="sum"))
    module.log_dict(reduced | {"lr": torch.tensor(learning_rate)})
