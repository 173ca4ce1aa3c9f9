"""What is known of the attempts that a run took, and the lock that keeps a run for one driver."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils.comparison.commands import Run
from utils.errors import UserError
from utils.files import take_lock, write_text

WAIT = 1.0  # seconds between two looks at a lock
TAIL = 4000  # bytes of a failed run's output in which its last line is looked for
SAME = ("settings", "pretrained", "images")  # what one run's attempts have in common


@dataclass
class Attempts:
    """What is known of the attempts that a run took, kept beside its output.

    Args:
        seconds: of wall clock, of all attempts.
        cpu_seconds: of the attempts whose end was seen; None when one was not.
        commits: that the attempts ran at.
        since: when the attempt began that nobody has seen end.
        settings: digest of the flags that the first of them had.
        pretrained: digest of the pretraining that it started from.
        images: digest of the data.
        finished: whether the last of them ended well.
    """

    path: Path
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0
    commits: list[str] = field(default_factory=list)
    since: float | None = None
    settings: str | None = None
    pretrained: str | None = None
    images: str | None = None
    finished: bool = False

    @classmethod
    def kept(cls, run: Run) -> "Attempts":
        """Those of a run as they are kept; none where there is no file.

        Raises:
            UserError: for a file that is damaged.
        """
        path = run.output.with_suffix(".json")
        try:
            return cls(path, **json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return cls(path)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it") from None

    @classmethod
    def read(cls, run: Run) -> "Attempts":
        """Those of a run; an attempt that was killed with its driver lasted until the last sign of it.

        Raises:
            UserError: for attempts of what would be another run, which would go on from their checkpoint.
        """
        found = cls.kept(run)
        path = found.path
        if any(getattr(found, name) not in (None, "", getattr(run, name)) for name in SAME):
            raise UserError(
                f"{path} is of a run with other flags, pretraining or images: remove {path.with_suffix('')}*, or give "
                "--log_dir"
            )
        if found.since is not None:
            found.seconds += max(0.0, _last_sign(path, run) - found.since)
            found.cpu_seconds, found.since = None, None
        return found

    def begin(self, commit: str, run: Run) -> None:
        """Written before the command starts, so that an attempt whose end nobody sees is known."""
        self.settings, self.pretrained, self.images, self.finished = run.settings, run.pretrained, run.images, False
        self.commits = [*dict.fromkeys([*self.commits, commit])]
        self.since = time.time()
        self._write()

    def end(self, code: int, seconds: float, cpu_seconds: float) -> None:
        """Written when the command has ended."""
        self.finished = code == 0
        self.seconds += seconds
        self.cpu_seconds = None if self.cpu_seconds is None else self.cpu_seconds + cpu_seconds
        self.since = None
        self._write()

    def _write(self) -> None:
        values = {name: value for name, value in vars(self).items() if name != "path"}
        write_text(self.path, json.dumps(values) + "\n")


def _last_sign(path: Path, run: Run) -> float:
    """When a file of a run was last written; some may never have come to be."""
    times = [path.stat().st_mtime]
    for file in (run.output, *run.output.with_suffix("").rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    return max(times)


@contextlib.contextmanager
def run_lock(run: Run, check: Callable[[], None], wait: bool) -> Iterator[int | None]:
    """The handle of a run's lock; None when another driver, or a command that has outlived its driver, has it.

    Args:
        run: which.
        check: called while waiting; what it raises ends that.
        wait: until it is free.
    """
    run.output.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(run.output.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        free = take_lock(handle, wait=False)
        if wait and not free:
            print(f"waiting for {run.name}, which another process is running", flush=True)
        while wait and not free:
            time.sleep(WAIT)
            check()
            free = take_lock(handle, wait=False)
        yield handle if free else None
    finally:
        os.close(handle)


def last_line(output: Path) -> str:
    """The last line that a run has printed."""
    with open(output, "rb") as file:
        file.seek(max(0, output.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
