"""Training images a second, for whoever watches a run."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger


class Throughput(Callback):
    """``images_per_second`` of each epoch's training steps, of all processes together, to W&B alone.

    ``metrics.csv`` has no times in it: it is equal for equal runs. The clock is the host's, which a GPU follows by
    about a step.

    Args:
        batch_size: of each process.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._begin()

    def _begin(self) -> None:
        self.steps = 0
        self.started = self.ended = 0.0

    def on_train_epoch_start(self, *args: Any) -> None:
        self._begin()

    def on_train_batch_start(self, *args: Any) -> None:
        if self.steps == 0:
            self.started = time.monotonic()

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1
        self.ended = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.ended <= self.started:
            return
        speed = self.steps * self.batch_size * trainer.world_size / (self.ended - self.started)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):  # in the row of the epoch's metrics
                logger.log_metrics({"images_per_second": speed}, step=max(0, trainer.global_step - 1))
