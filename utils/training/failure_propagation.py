"""One process of several that fails ends all of them, with its message and its exit code."""

import contextlib
import subprocess
import threading
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback

from utils.distributed import several_processes
from utils.errors import told
from utils.training.signals import Stopped

KEY = "first_failure"
SECONDS_TO_SPEAK = 10.0  # for the process that failed first


class FailTogether(Callback):
    """Finds out who failed first: the others fail after it, with errors of connections that say nothing."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        _leave_unwatched()
        if isinstance(exception, Stopped):
            return
        if isinstance(exception, SystemExit) or not several_processes():  # nobody else knows of it
            self._end_children(trainer, wait=False)
            return
        problem = told(exception)
        mine = f"{trainer.global_rank} {problem.exit_code if problem else 1}"
        first = mine
        try:
            store: Any = dist.distributed_c10d._get_default_store()
            first = store.compare_set(KEY, "", mine).decode()
        except (RuntimeError, ValueError):  # the process that keeps the store, the first one, is gone
            if problem is None:
                first = "0 1"
        self._end_children(trainer, wait=first != mine)
        if first != mine:
            raise SystemExit(int(first.split()[1]))

    @staticmethod
    def _end_children(trainer: pl.Trainer, wait: bool) -> None:
        """End the processes that this one has launched, which may wait for it for ever."""
        children = getattr(trainer.strategy.launcher, "procs", [])
        try:
            for process in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_TO_SPEAK if wait else 0.5)
        finally:  # also where a signal ends the wait
            for process in children:
                process.kill()


def _leave_unwatched() -> None:
    """Keep Lightning from killing this process, which may have much to upload, once a child has ended with an error."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._child_processes = []  # type: ignore[attr-defined]
