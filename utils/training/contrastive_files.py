"""The published files of contrastive disentangling: models, the best model, records; and pictures."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import files, torch_files
from utils.distributed import say
from utils.training.callbacks import log_picture
from utils.training.resuming import write_over


class ModelFiles(Checkpoint):
    """Every ``every`` epochs and at the end ``model_epoch_N.pth``, ``resnet_epoch_N.pth`` and a row of the records.

    The best model, by the NMI of the last layer, is written when it is found. A best model or records of another run
    under the same name are kept beside.

    Args:
        folder: of the models of the dataset.
        best: file of the best model.
        records: the ``.csv`` of best and current metrics.
        every: epochs between two records.
        save_model: whether models are written; records always are.
    """

    def __init__(self, folder: Path, best: Path, records: Path, every: int, save_model: bool) -> None:
        self.folder, self.best, self.records = folder, best, records
        self.every, self.save_model = every, save_model
        self.rows: list[dict[str, float]] = []
        self.own: str | None = None  # digest of the best model that this run has written

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and trainer.current_epoch == 0 and any(self.folder.glob("model_epoch_*.pth")):
            say(
                f"models    {self.folder} has models of an earlier run; those of the same epoch are replaced, the best "
                "one and the records are kept"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        epoch = trainer.current_epoch + 1
        if self.save_model and pl_module.best.get("epoch") == epoch:  # type: ignore[union-attr, operator]
            self._write_best(pl_module.model)
        if is_record(trainer, self.every):
            self._record(trainer, pl_module, epoch)
            if self.save_model:
                self._write(self.folder / f"model_epoch_{epoch}.pth", pl_module.model)
                self._write(self.folder / f"resnet_epoch_{epoch}.pth", pl_module.model.resnet)  # type: ignore[union-attr]

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.rows and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            best = f"; the best by NMI is {self.best}" if self.save_model and self.best.is_file() else ""
            models = f"models    {self.folder}{best}\n" if self.save_model else ""
            say(f"{models}records   {self.records}")

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "own": self.own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.own = list(state_dict["rows"]), state_dict.get("own")

    def _record(self, trainer: pl.Trainer, pl_module: Any, epoch: int) -> None:
        """A row: epoch, losses, the metrics of the last evaluation, and the best ones."""
        losses = {key: float(value) for key, value in trainer.callback_metrics.items() if "/" not in key}
        best = {f"best/{key}": value for key, value in pl_module.best.items()}
        before = [row for row in self.rows if row["epoch"] != epoch]
        self.rows = [*before, {"epoch": epoch, **losses, **pl_module.scores, **best}]
        self._write_records(before)

    @rank_zero_only
    def _write_records(self, before: list[dict[str, float]]) -> None:
        there = self.records.read_bytes() if before and self.records.is_file() else b""
        own = bool(before) and there.startswith(files.csv_of_rows(before).encode())
        text = files.csv_of_rows(self.rows)
        write_over(self.records, lambda kept: files.write_text(self.records, text, kept), own)

    @rank_zero_only
    def _write_best(self, network: Any) -> None:
        own = torch_files.carries(self.best, self.own)
        state = network.state_dict()
        write_over(self.best, lambda kept: torch_files.save_weights(self.best, state, previous=kept), own)
        self.own = torch_files.digest_in(self.best)

    @rank_zero_only
    def _write(self, path: Path, network: Any) -> None:
        torch_files.save_weights(path, network.state_dict())


class Pictures(Checkpoint):
    """With the records ``tsne_epoch_N.png`` of both outputs, and LIME's of some features; to W&B too.

    Args:
        folder: of the run.
        every: epochs between two records.
        tsne: whether t-SNE is drawn.
        lime: numbers of features, ``auto``, or None for no LIME.
    """

    def __init__(self, folder: Path, every: int, tsne: bool, lime: str | list[int] | None) -> None:
        self.folder, self.every = folder, every
        self.tsne, self.lime = tsne, lime

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.fast_dev_run or not is_record(trainer, self.every):  # type: ignore[attr-defined]
            return
        from utils.report.attempts import Attempts

        def draw(**kind: Any) -> None:
            from utils.report.contrastive_report import pictures
            from utils.report.plots.style import save_png

            for name, figure in pictures(pl_module, trainer.datamodule, **kind).items():  # type: ignore[attr-defined]
                path = self.folder / f"{name}_epoch_{trainer.current_epoch + 1}.png"
                save_png(figure, path)
                log_picture(trainer, name, path)

        attempt = Attempts()
        attempt("the t-SNE picture", lambda: draw(tsne=self.tsne, lime=None), None)
        attempt("the LIME picture", lambda: draw(tsne=False, lime=self.lime), None)


def is_record(trainer: pl.Trainer, every: int) -> bool:
    """Whether the epoch that ends is one of the records: every ``every``-th, and the last."""
    epoch = trainer.current_epoch + 1
    return epoch % every == 0 or epoch == trainer.max_epochs or trainer.should_stop
