"""What happens around training: the start-up screen, progress, checkpoints and the run's files.

Callbacks that read an epoch's metrics derive from ``Checkpoint``: Lightning calls those after the module has logged.
"""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tqdm import tqdm

from utils import files, torch_files
from utils.distributed import say
from utils.training.loggers import CSVLogger
from utils.training.resuming import make_ready, write_over

SHOWN = (
    *("loss", "loss_supervised", "loss_instance", "loss_feature", "val/acc"),
    *("unlab/train/acc/best", "unlab/test/acc/best", "lab/test/acc", "backbone/acc", "feature/acc"),
    *("unlab/train/acc/all", "unlab/train/acc/old", "unlab/train/acc/new", "test/acc/all"),
)


class StartScreen(Callback):
    """One screen before training: data, split, model, device, where files go.

    Args:
        folder: of the run, which is made ready now that there is something to train.
        source: the checkpoint that the run goes on from; None: it is a new one.
    """

    def __init__(self, folder: Path, source: str | None) -> None:
        self.folder, self.source = folder, source

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            make_ready(self.folder, self.source)
        settings = pl_module.hparams
        device = pl_module.device
        name = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        )
        world = trainer.world_size
        lines = [
            *trainer.datamodule.describe(),  # type: ignore[attr-defined]
            _model_line(pl_module),
            f"device    {name} x {world}, precision {trainer.precision}, "
            f"batch {settings['batch_size']} x {world} = {settings['batch_size'] * world}",
            f"training  {trainer.max_epochs} epochs of {trainer.num_training_batches} steps, seed {settings['seed']}",
            f"files     {self.folder}",
        ]
        text = "\n".join(lines)
        say(text)
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _append(self.folder / "log.txt", text)


def _model_line(pl_module: pl.LightningModule) -> str:
    """The line about the network."""
    settings, counted = pl_module.hparams, list(pl_module.parameters())
    millions = sum(parameter.numel() for parameter in counted) / 1e6
    trained = sum(parameter.numel() for parameter in counted if parameter.requires_grad) / 1e6
    start = settings.get("pretrained")
    if "arch" in settings and settings["backbone"]:
        name = f"{settings['backbone']} ({settings['train'].replace('_', ' ')}), trained {trained:.1f} of"
        start = start or {"none": None, "pretrained": "published weights"}.get(
            settings["backbone_weights"], settings["backbone_weights"]
        )
    else:
        name = f"{settings.get('arch') or settings['backbone']}, width {settings['width']},"
    return f"model     {name} {millions:.1f} M parameters, start: {start or 'random weights'}"


class Progress(Checkpoint):
    """A bar with the time left in a terminal; elsewhere, and in the log file, a line an epoch."""

    def __init__(self, log: Path, enabled: bool = True, seconds_between_lines: float = 5.0) -> None:
        self.log_file = log
        self.enabled = enabled
        self.seconds_between_lines = seconds_between_lines
        self.bar: tqdm | None = None
        self.evaluated = -1  # the epoch of the last evaluation

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.evaluated = trainer.current_epoch

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = self.said = time.monotonic()
        self.first_epoch = trainer.current_epoch
        if self.enabled and sys.stderr.isatty():
            steps = int(trainer.num_training_batches)
            self.bar = tqdm(total=steps * (trainer.max_epochs or 0), initial=steps * trainer.current_epoch, unit="step")

    @rank_zero_only
    def on_train_batch_end(self, *args: Any) -> None:
        if self.bar is not None:
            self.bar.update()

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now, epoch, epochs = time.monotonic(), trainer.current_epoch + 1, trainer.max_epochs or 0
        left = (now - self.started) / (epoch - self.first_epoch) * (epochs - epoch)
        shown = {
            name: float(trainer.callback_metrics[name])
            for name in SHOWN
            if name in trainer.callback_metrics and ("/" not in name or self.evaluated == trainer.current_epoch)
        }
        values = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        line = f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {values}  {timedelta(seconds=round(left))} left"
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _append(self.log_file, line)
        if self.bar is not None:
            self.bar.set_postfix_str(values, refresh=False)
        elif self.enabled and (now - self.said >= self.seconds_between_lines or epoch in (1, epochs)):
            print(line, flush=True)
            self.said = now

    @rank_zero_only
    def on_train_end(self, *args: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class SavePretrained(Callback):
    """The bare ``state_dict`` of a pretrained network, with the published names, for the discovery mains.

    The names of its labelled classes go with it, so that discovery finds out when its own are others. Of a run that was
    finished and goes on the file is its own older one, which is known by the weights that the run goes on with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own: str | None = None  # digest of the file that this run has written before

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state, _ = pl_module.to_save()  # type: ignore[operator]
        if trainer.global_step and torch_files.holds_weights(self.path, state):
            self.own = torch_files.digest_in(self.path)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if has_trained(trainer):
            state, names = pl_module.to_save()  # type: ignore[operator]
            own = torch_files.carries(self.path, self.own)
            write_over(self.path, lambda kept: torch_files.save_weights(self.path, state, names, kept), own)
            say(f"weights   {self.path}")

    def state_dict(self) -> dict[str, Any]:
        return {"own": self.own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.own = state_dict["own"]


class RunFiles(Callback):
    """At the end: ``metrics.json`` and the picture of the curves, also to W&B with the confusion matrix."""

    def __init__(self, folder: Path, started: float) -> None:
        self.folder = folder
        self.started = started

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not has_trained(trainer):
            return
        from utils.report.attempts import Attempts
        from utils.report.plots.confusion import plot_confusion
        from utils.report.plots.curves import plot_curves

        metrics = next(logger.latest() for logger in trainer.loggers if isinstance(logger, CSVLogger))
        metrics["seconds"] = round(time.monotonic() - self.started, 1)
        files.write_json(self.folder / "metrics.json", metrics)
        attempt, pictures = Attempts(), {}
        pictures["curves"] = lambda: plot_curves(self.folder / "metrics.csv")
        evaluation: Any = getattr(pl_module, "evaluation", None)
        if hasattr(evaluation, "joint_table") and evaluation.joint_table.sum():
            names = trainer.datamodule.split.names  # type: ignore[attr-defined]
            known = pl_module.hparams["num_labeled_classes"]
            pictures["confusion"] = lambda: plot_confusion(evaluation.joint_table, names, known)
        for name, draw in pictures.items():
            attempt(f"{name}.png", partial(_drawn, draw, self.folder / f"{name}.png"), None)
        drawn = [name for name in pictures if f"{name}.png" not in attempt.failed]
        for name in drawn:  # all at once: what is logged while another picture is drawn can miss the end of the run
            log_picture(trainer, name, self.folder / f"{name}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()
        say(f"metrics   {self.folder / 'metrics.json'}")
        if "curves" in drawn:
            say(f"curves    {self.folder / 'curves.png'}")


def _drawn(draw: Callable[[], Any], path: Path) -> None:
    from utils.report.plots.style import save_png

    save_png(draw(), path)


def has_trained(trainer: pl.Trainer) -> bool:
    """Whether a run has finished an epoch with steps in it, so that there is something to keep."""
    finished = trainer.fit_loop.epoch_progress.current.processed > 0 and trainer.global_step > 0  # type: ignore[attr-defined]
    return finished and not trainer.fast_dev_run  # type: ignore[attr-defined]


def _append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text + "\n")


def log_picture(trainer: pl.Trainer, name: str, path: Path) -> None:
    """A picture to W&B, where the run is logged there, in the row of the last epoch's metrics.

    W&B counts up for what comes without a step, and would leave out metrics that come later with a smaller one.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step=max(0, trainer.global_step - 1))
