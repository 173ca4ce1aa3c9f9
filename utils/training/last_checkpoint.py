"""``last.ckpt``: everything that a run needs to go on as if it had not stopped, from any step."""

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from utils.distributed import gather_over_processes, say
from utils.training.loggers import CSVLogger
from utils.training.signals import Consensus, Interruptions, Stopped


class LastCheckpoint(Checkpoint):
    """Saves at least every ``minutes``, at the end, and when a signal asks the run to stop.

    Beside what Lightning saves, a checkpoint holds what the epoch has gathered so far on every process (sums of
    losses), and the rows of ``metrics.csv``: a run that is resumed neither loses nor repeats one.

    Args:
        path: of the checkpoint; the one before it is kept beside it.
        minutes: longest time between two checkpoints.
        interruptions: where signals arrive.
        write: whether checkpoints are written; without them a signal still ends the run after its step.
    """

    def __init__(self, path: Path, minutes: float, interruptions: Interruptions, write: bool = True) -> None:
        self.path, self.write = path, write
        self.minutes = minutes
        self.interruptions = interruptions
        self.consensus = Consensus()
        self.saved = time.monotonic()
        self._restored: dict[str, Any] = {}

    # When

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning sends a message for every step to tell of a signal; ours are told every few seconds.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        self.consensus.forget()
        self.interruptions.deferred = True
        if self._restored:
            self._restore_epoch(pl_module)
        self._evaluate_last_epoch(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._evaluate_last_epoch(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        if trainer.fast_dev_run or trainer.fit_loop._should_accumulate():  # type: ignore[attr-defined]
            return
        if not trainer.fit_loop.epoch_loop._num_ready_batches_reached():  # else the epoch ends, which is saved
            self._save_if_due(trainer, pl_module)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        # Processes evaluate different numbers of batches, so that several cannot agree here: they stop after it.
        if trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.world_size == 1:
            self._save_if_due(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            last = trainer.current_epoch + 1 >= (trainer.max_epochs or 0) or trainer.should_stop
            self._save_if_due(trainer, pl_module, now=True, always=last)

    def on_train_end(self, *args: Any) -> None:
        self.interruptions.deferred = False

    def on_exception(self, *args: Any) -> None:
        self.interruptions.deferred = False

    def _save_if_due(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, now: bool = False, always: bool = False
    ) -> None:
        due = always or time.monotonic() - self.saved >= 60 * self.minutes
        answer = self.consensus.largest([self.interruptions.received, due], pl_module.device, now)
        if answer is None or not any(answer):
            return
        if self.write:
            trainer.save_checkpoint(self.path)
        self.saved = time.monotonic()
        number = int(answer[0])
        if number and not always:
            step = trainer.fit_loop.epoch_loop.batch_progress.current.ready
            goes_on = (
                "--resume_from_checkpoint auto goes on from there" if self.write else "no checkpoint was asked for"
            )
            say(
                f"stopped by {signal.Signals(number).name} after step {step} of epoch {trainer.current_epoch + 1}; "
                f"{goes_on}"
            )
            raise Stopped(128 + number)

    @staticmethod
    def _evaluate_last_epoch(trainer: pl.Trainer) -> None:
        if trainer.max_epochs and trainer.current_epoch + 1 >= trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1  # the model that is left behind is always evaluated

    # What

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["epoch_so_far"] = self._epoch_so_far(pl_module)
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                checkpoint["metrics"] = logger.rows_with(*_not_yet_logged(trainer))
        if trainer.validating:  # Lightning would skip what is left of it: let it be done anew
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for part, begun in (("total", 1), ("current", 0)):
                progress[part] = {"ready": begun, "started": begun, "processed": 0, "completed": 0}
            progress["is_last_batch"] = False

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._restored = checkpoint.get("epoch_so_far", {})
        for logger in trainer.loggers:
            if hasattr(logger, "restore_rows") and "metrics" in checkpoint:
                logger.restore_rows(checkpoint["metrics"])

    def _epoch_so_far(self, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What each process has of its own, (processes, …), and the epoch's learning rate."""
        return {
            "means": {name: gather_over_processes(value).cpu() for name, value in pl_module.means.state().items()},  # type: ignore[union-attr, operator]
            "buffers": {name: gather_over_processes(value).cpu() for name, value in _own_buffers(pl_module).items()},
            "lr": pl_module.lr,
        }

    def _restore_epoch(self, pl_module: pl.LightningModule) -> None:
        memories = getattr(pl_module, "memories", ())

        def mine(values: Tensor, name: str) -> Tensor:
            rank = pl_module.global_rank
            # Another number of processes than before: each goes on from the mean of their sums, but a memory is that
            # of one process, since its rows, their labels and the pointer belong together.
            if len(values) == pl_module.trainer.world_size or name in memories:
                value = values[rank % len(values)]
            else:
                value = values.double().mean(dim=0).to(values.dtype)
            return value.to(pl_module.device)

        pl_module.means.load_state({name: mine(values, name) for name, values in self._restored["means"].items()})  # type: ignore[union-attr, operator]
        buffers = _own_buffers(pl_module)
        for name, values in self._restored["buffers"].items():
            buffers[name].copy_(mine(values, name))
        pl_module.lr = self._restored["lr"]
        self._restored = {}


def _own_buffers(pl_module: pl.LightningModule) -> dict[str, Tensor]:
    """The buffers that each process has for itself."""
    own = getattr(pl_module, "_ddp_params_and_buffers_to_ignore", ())
    return {name: value for name, value in pl_module.named_buffers() if name in own}


def _not_yet_logged(trainer: pl.Trainer) -> tuple[dict[str, float], int]:
    """The metrics of the epoch that ends, which loggers get after its checkpoint is saved, and their step."""
    if not trainer.training or trainer._logger_connector._first_loop_iter is not None:
        return {}, 0
    metrics = {name: float(value) for name, value in trainer._logger_connector.metrics["log"].items()}
    return metrics | {"epoch": trainer.current_epoch}, trainer.fit_loop.epoch_loop._batches_that_stepped - 1
