"""What the datamodules share: when and where their loaders run."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from utils.data.containers import SourceRequest
from utils.data.selection import check_evaluated
from utils.data.sources.readers import prepare_source


class ImageDataModule(pl.LightningDataModule):
    """A request for a source, and where and when the loaders on top of it run.

    It works with a trainer and without one (then on the CPU, as one process, in epoch ``epoch``).

    Args:
        request: the source.
    """

    def __init__(self, request: SourceRequest) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # fewer images of a kind than processes
        self.request = request
        self.epoch = 0
        self._ready = False

    def prepare_data(self) -> None:
        """Download what is not there, if asked; Lightning calls this on one process of each machine."""
        prepare_source(self.request)

    def _place(self, alone_on: torch.device | str | None = None) -> dict[str, Any]:
        """Rank, number of processes, and the device of this one; or one process alone on a given device."""
        trainer = self.trainer
        if alone_on is not None or trainer is None:
            return {"rank": 0, "world_size": 1, "device": torch.device(alone_on or "cpu")}
        return {"rank": trainer.global_rank, "world_size": trainer.world_size, "device": trainer.strategy.root_device}

    def _check_evaluated(self, counts: Sequence[int]) -> None:
        """As :func:`utils.data.selection.check_evaluated`, where a trainer evaluates at all."""
        if self.trainer is not None and self.trainer.limit_val_batches:
            check_evaluated(counts, self.trainer.world_size)

    def _current_epoch(self) -> int:
        return self.epoch if self.trainer is None else self.trainer.current_epoch

    def _steps_done(self) -> int:
        """Steps of this epoch that a checkpoint's run has made already."""
        return 0 if self.trainer is None else self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
