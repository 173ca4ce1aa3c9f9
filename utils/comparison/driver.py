"""Runs what is missing of a protocol, row by row; failures are told at the end and stop nothing else."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from utils.comparison.attempts import Attempts, last_line, run_lock
from utils.comparison.commands import Place, Run, all_runs
from utils.comparison.protocols import PRETRAINING, Protocol
from utils.comparison.rows import Row, add_row, numbers, read_rows
from utils.comparison.runs import Runner, row_of
from utils.comparison.selection import missing, named, of_other_images, outdated
from utils.comparison.tables import shown
from utils.errors import UserError


class Driver:
    """The runs of a protocol, their rows in a file, and what failed.

    Args:
        protocol: for its hours.
        runs: in their order.
        place: of their files.
        table: the CSV file of rows.
    """

    def __init__(self, protocol: Protocol, runs: Sequence[Run], place: Place, table: Path) -> None:
        self.protocol, self.runs, self.place, self.table = protocol, runs, place, table
        self.failed: dict[str, str] = {}

    def finished(self) -> set[tuple[str, str]]:
        """Method and seed of all rows that are there."""
        return {(row["method"], row["seed"]) for row in self._rows()}

    def require_comparable(self) -> None:
        """Refuse to add to rows of other flags than the protocol has, for these seeds, or of other images.

        Raises:
            UserError: naming them.
        """
        rows, seeds = self._rows(), sorted({run.seed for run in self.runs})
        if other := outdated(rows, all_runs(self.protocol, list(self.protocol.methods), seeds, self.place)):
            raise UserError(
                f"{self.table} holds rows of other flags than the protocol has now, for them or for their "
                f"{PRETRAINING}: {named(other)}; remove them, or give another folder as --results"
            )
        if other := of_other_images(rows, self.place.images):
            raise UserError(
                f"{self.table} holds rows of other images than {self.place.data_dir} does: {named(other)}; give their "
                "--data_dir, or another folder as --results"
            )

    def _rows(self) -> list[Row]:
        return [row for row in read_rows(self.table) if row["more"] == self.place.more]

    def drive(self, runner: Runner) -> None:
        """Run what has no row; what another driver is running is waited for at the end."""
        later = [run for run in self.runs if not self._try(runner, run, wait=run.method == PRETRAINING)]
        for run in later:
            self._try(runner, run, wait=True)

    def _try(self, runner: Runner, run: Run, wait: bool) -> bool:
        """Run one, unless it has a row; whether there is nothing left to do for it now."""
        if self._done(run) or not self._wanted(run):
            return True
        if run.pretrained and f"{PRETRAINING}-seed{run.seed}" in self.failed:
            self.failed[run.name] = f"its {PRETRAINING} failed"
            return True
        with run_lock(run, runner.check, wait) as lock:
            if lock is None:
                return False
            if not self._done(run):
                self._run(runner, run, lock)
        return True

    def _done(self, run: Run) -> bool:
        """Whether it has a row, and the files that others need; rows may have come from another machine."""
        return run.key in self.finished() and run.leaves

    def _wanted(self, run: Run) -> bool:
        """Pretraining is for the methods that start from it: without one that is missing it is not needed."""
        waiting = {other.seed for other in missing(self.runs, self.finished()) if other.pretrained}
        return run.method != PRETRAINING or run.seed in waiting

    def _run(self, runner: Runner, run: Run, lock: int) -> None:
        number = self.runs.index(run) + 1
        print(f"{number} of {len(self.runs)}  {run.method}, seed {run.seed}; {self._left()} left", flush=True)
        began = time.monotonic()
        try:
            code = 0 if Attempts.read(run).finished and run.is_whole else runner.run(run, lock)
            if code:
                raise UserError(f"exit code {code}: {last_line(run.output)}")
            row = row_of(run, self.place)
        except UserError as error:
            self.failed[run.name] = f"{error} (all of its output: {run.output})"
            print(f"  failed after {time.monotonic() - began:.0f} seconds: {self.failed[run.name]}", flush=True)
            return
        if add_row(self.table, row):
            print(f"  {shown(row)}, {row['seconds']:.0f} seconds", flush=True)

    def _left(self) -> str:
        """Time for the runs without a row: the mean of those with one, or the protocol's hours before there are any."""
        lacking = [run for run in missing(self.runs, self.finished()) if run.name not in self.failed]
        seconds = numbers(self._rows(), "seconds")
        if not seconds and not self.protocol.hours:
            return "unknown time"
        each = sum(seconds) / len(seconds) if seconds else self._hours_each() * 3600
        return str(timedelta(seconds=round(len(lacking) * each)))

    def _hours_each(self) -> float:
        return self.protocol.hours / (len(self.protocol.seeds) * len(self.protocol.methods))
