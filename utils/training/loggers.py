"""Where metrics go: always a CSV file with one row an epoch, and Weights & Biases when it is there."""

import csv
import importlib.util
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils.cli import RunLabels, sweep_run_id
from utils.distributed import say
from utils.errors import first_line
from utils.files import csv_of_rows, write_text

OVERRIDES = {"group": "WANDB_RUN_GROUP", "job_type": "WANDB_JOB_TYPE", "tags": "WANDB_TAGS"}  # variables that win


class CSVLogger(Logger):
    """``metrics.csv``, one row an epoch whatever was logged when, and ``hparams.yaml``; both appear whole.

    Args:
        folder: of the run.
        resume: keep the rows that are there; an epoch that is run again overwrites its row.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        super().__init__()
        self.folder = folder
        self._rows: dict[int, dict[str, Any]] = {}
        self._settings: dict[str, Any] = {}
        if resume and self.path.is_file():
            with open(self.path, newline="") as file:
                self._rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}

    @property
    def path(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def version(self) -> str:
        return ""

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._settings = dict(params)  # written with the first row: until then an older run's files stay

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rows = {row["epoch"]: row for row in self.rows_with(metrics, step)}
        self._write()

    def rows_with(self, metrics: Mapping[str, float], step: int | None = None) -> list[dict[str, Any]]:
        """The rows as they are once these metrics have been logged."""
        rows = {epoch: dict(row) for epoch, row in self._rows.items()}
        if metrics:
            epoch = int(metrics.get("epoch", 0))
            row = rows.setdefault(epoch, {"epoch": epoch})
            row |= {"step": step, **{name: value for name, value in metrics.items() if name != "epoch"}}
        return [rows[epoch] for epoch in sorted(rows)]

    @rank_zero_only
    def restore_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Go on from the rows that a checkpoint holds."""
        self._rows = {int(row["epoch"]): dict(row) for row in rows}
        self._write()

    def latest(self) -> dict[str, float]:
        """The last value of each metric."""
        values = {name: value for row in self.rows_with({}) for name, value in row.items() if value not in ("", None)}
        return {name: float(value) for name, value in values.items() if name not in ("epoch", "step")}

    def _write(self) -> None:
        if not self._rows:
            return
        if self._settings:
            write_text(self.folder / "hparams.yaml", yaml.safe_dump(self._settings, sort_keys=False))
            self._settings = {}
        write_text(self.path, csv_of_rows(self.rows_with({})))


class StepLogger(WandbLogger):
    """Rows are told by their step, so that W&B leaves out what it has already when they come again."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.experiment.log(dict(metrics) | ({} if step is None else {"trainer/global_step": step}), step=step)

    @rank_zero_only
    def restore_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self.log_metrics({k: float(v) for k, v in row.items() if k != "step" and v not in ("", None)}, row["step"])


def wandb_logger(
    folder: Path,
    project: str,
    entity: str | None = None,
    offline: bool = False,
    resumed: bool = False,
    labels: RunLabels | None = None,
) -> list[Logger]:
    """The W&B logger in a list, which is empty where W&B is not installed.

    Online if logged in; otherwise, and when the service cannot be reached, offline with one line saying so. A run that
    is resumed goes on under its id.

    Args:
        folder: of the run, whose name is the run's.
        project, entity: on W&B.
        offline: keep W&B's files on this machine.
        resumed: whether the run goes on.
        labels: group, job type and tags, each unless its variable (WANDB_RUN_GROUP, WANDB_JOB_TYPE, WANDB_TAGS) is set.
    """
    found = importlib.util.find_spec("wandb")
    if found is None or found.origin is None:  # a folder `wandb` in the working directory is no package
        say("W&B is not installed: metrics go to metrics.csv alone")
        return []
    import wandb

    known = folder / "wandb" / "id.txt"
    run_id = known.read_text().strip() if resumed and known.is_file() else uuid.uuid4().hex[:8]
    run_id = sweep_run_id() or run_id
    sorting: dict[str, Any] = (
        {} if labels is None else {"group": labels.group, "job_type": labels.job_type, "tags": list(labels.tags)}
    )
    sorting = {name: value for name, value in sorting.items() if not os.environ.get(OVERRIDES[name])}
    if not offline and not wandb.login(prompt=False, verify=False):
        say("W&B: no login on this machine, so the run is logged offline ('wandb sync' uploads it)")
        offline = True

    def logger(offline: bool) -> WandbLogger:
        settings = wandb.Settings(mode="offline" if offline else "online", console="off", silent=True, init_timeout=30)
        where: dict[str, Any] = {"name": folder.name, "project": project, "entity": entity, "save_dir": str(folder)}
        made = StepLogger(**where, **sorting, id=run_id, resume="allow", offline=offline, settings=settings)
        made._wandb_init.pop("anonymous", None)  # Lightning hands it on, and W&B warns that it has no effect
        made.experiment  # noqa: B018  starts the run now, on rank 0, so that a failure shows here
        rank_zero_only(write_text)(known, run_id)
        return made

    if not {"HOME", "XDG_CACHE_HOME"} & os.environ.keys():  # W&B's service would write its log to the screen
        os.environ["XDG_CACHE_HOME"] = str((folder / "wandb" / "cache").absolute())
    try:
        return [logger(offline)]
    except (wandb.Error, OSError) as error:
        if offline:
            say(f"W&B could not start ({first_line(error)}): metrics go to metrics.csv alone")
            return []
        say(f"W&B cannot be reached ({first_line(error)}), so the run is logged offline")
        return [logger(offline=True)]
