"""One run from its start, or its last checkpoint, to its row."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import date
from typing import IO, Any

from utils.comparison.attempts import Attempts
from utils.comparison.commands import Place, Run, extraction_seconds
from utils.comparison.damage import damage
from utils.comparison.protocols import ROOT
from utils.comparison.rows import as_cells
from utils.comparison.stopping import LAST, RESERVE, Stopped
from utils.errors import UserError
from utils.targets import METRICS

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Runner:
    """Runs commands one at a time and passes signals on to the one that is running.

    Args:
        place: of their files.
        until: when all has to have ended, on ``time.monotonic()``'s clock: the running command is asked to stop and
            leaves a checkpoint, as for a signal, and ``SIGALRM`` is what came; None: there is time.
    """

    def __init__(self, place: Place, until: float | None = None) -> None:
        self.place, self.until = place, until
        self.child: subprocess.Popen | None = None
        self.signal: int | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator["Runner"]:
        """While this lasts, a signal ends the running command, which leaves a checkpoint, and then the driver.

        One that this process was told to ignore, as by nohup, stays ignored.
        """
        heeded = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._forward) for number in heeded}
        timers = self._timers()
        for timer in timers:
            timer.daemon = True  # never what keeps this process alive
            timer.start()
        try:
            yield self
        finally:
            for timer in timers:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _timers(self) -> list[threading.Timer]:
        if self.until is None:
            return []
        left = self.until - time.monotonic()
        reserve, last = min(RESERVE, left / 2), min(LAST, left / 8)
        asking = threading.Timer(max(0.0, left - reserve), self._forward, (signal.SIGALRM, None))
        return [asking, threading.Timer(max(0.0, left - last), self._end)]

    def _end(self) -> None:
        """End the command that has not heeded: its files are whole, and it goes on from the checkpoint before."""
        if self.child is not None and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def _forward(self, number: int, frame: object) -> None:
        self.signal = number
        if self.child is not None and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, signal.SIGTERM)

    def run(self, run: Run, lock: int) -> int:
        """The exit code of a run's command; what it prints is added to its output file.

        Args:
            run: which.
            lock: handle of the run's lock: the command keeps it too, should this process be killed.

        Raises:
            Stopped: when a signal has come.
        """
        self.check()  # before the attempt begins: from here to its end a signal is passed on
        attempts = Attempts.read(run)
        attempts.begin(commit(), run)
        began = time.monotonic()
        environment = os.environ | ({"OMP_NUM_THREADS": str(self.place.threads)} if self.place.threads else {})
        with open(run.output, "ab") as output:
            code, usage = self._wait_for(run, lock, output, environment)
        attempts.end(code, time.monotonic() - began, usage.ru_utime + usage.ru_stime)
        self.check()
        return code

    def check(self) -> None:
        """End here when a signal has come.

        Raises:
            Stopped: with its number.
        """
        if self.signal is not None:
            raise Stopped(self.signal)

    def _wait_for(self, run: Run, lock: int, output: IO[bytes], environment: Mapping[str, str]) -> tuple[int, Any]:
        self.child = subprocess.Popen(
            [sys.executable, *run.words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        )
        if self.signal is not None:  # it came while the command was starting
            self._forward(self.signal, None)
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        return self.child.returncode, usage


def row_of(run: Run, place: Place) -> dict[str, Any]:
    """What a run that has ended well leaves in the table.

    Raises:
        UserError: when its metrics cannot be read, or are not what a row may hold.
    """
    try:
        metrics = json.loads(run.metrics.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{run.metrics} cannot be read ({error})") from None
    if not METRICS.recognises(run.metrics):
        raise UserError(f"{run.metrics} holds something else than names and numbers")
    attempts = Attempts.read(run)
    from importlib.metadata import version

    row = {
        **{name: round(value, 6) if value else value for name, value in metrics.items() if name != "seconds"},
        **{"method": run.method, "seed": run.seed, "more": place.more, "settings": run.settings},
        "seconds": round(attempts.seconds, 1),
        "cpu_seconds": None if attempts.cpu_seconds is None else round(attempts.cpu_seconds, 1),
        "extraction_seconds": round(extraction_seconds(run.output.read_text(errors="replace")), 1),
        **{"torch": version("torch"), "device": device(place.threads), "commit": ",".join(attempts.commits)},
        **{"date": date.today().isoformat(), "images": place.images},
    }
    if wrong := damage(as_cells(row)):
        raise UserError(f"{run.metrics}: {wrong}")
    return row


def device(threads: int | None) -> str:
    """The device that runs are on, in words."""
    import torch

    from utils.devices import cores, processor

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{processor()}, {threads or os.environ.get('OMP_NUM_THREADS') or cores()} threads"


def commit() -> str:
    """Short hash of the code, with a plus when files differ from it; results do not count."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        status = ["git", "status", "--porcelain", "--", ".", ":!results"]
        changed = subprocess.run(status, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") or "unknown"
