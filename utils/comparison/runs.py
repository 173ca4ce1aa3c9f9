"""The runs of a protocol: their command lines, and one run from its start, or its last checkpoint, to its row."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any

from utils import cli
from utils.cli.flags import flags_of
from utils.comparison.protocols import PRETRAINING, PRETRAINING_MAIN, ROOT, Protocol, as_words
from utils.errors import UserError
from utils.files import write_text

EXTRACTED = re.compile(r"^features  [\d,]+ images in ([\d.]+) seconds", re.M)
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
WAIT = 1.0  # seconds between two looks at a lock
PLACES = ("data_dir", "feature_cache", "log_dir", "checkpoint_dir", "pretrained", "checkpoint")
TAIL = 4000  # bytes of a failed run's output in which its last line is looked for


@dataclass(frozen=True)
class Place:
    """Where the runs of a protocol find and leave their files.

    Args:
        data_dir, feature_cache: flags of the mains.
        folder: of this protocol's runs.
        threads: of a run; None: what the environment says, or torch.
        more: further flags, with which rows are of other runs.
        images: digest of the data.
    """

    data_dir: Path
    feature_cache: Path
    folder: Path
    threads: int | None = None
    more: str = ""
    images: str = ""


@dataclass(frozen=True)
class Run:
    """One command of a protocol.

    Args:
        words: of the command line, after the interpreter.
        metrics: the file that it leaves.
        output: the file for what it prints.
        pretrained: whether it starts from its seed's pretraining.
    """

    method: str
    seed: int
    words: tuple[str, ...]
    metrics: Path
    output: Path
    pretrained: bool = False

    @property
    def name(self) -> str:
        return f"{self.method}-seed{self.seed}"

    @property
    def settings(self) -> str:
        """Digest of the command without the places of its files."""
        pairs = zip(self.words, ("", *self.words), strict=False)
        kept = [word for word, before in pairs if before.removeprefix("--") not in PLACES]
        return hashlib.sha256(" ".join(kept).encode()).hexdigest()[:8]


@dataclass
class Attempts:
    """What is known of the attempts that a run took, kept beside its output.

    Args:
        seconds: of wall clock, of all attempts.
        cpu_seconds: of the attempts whose end was seen; None when one was not.
        commits: that the attempts ran at.
        since: when the attempt began that nobody has seen end.
        settings: digest of the flags that the first of them had.
        finished: whether the last of them ended well.
    """

    path: Path
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0
    commits: list[str] = field(default_factory=list)
    since: float | None = None
    settings: str | None = None
    finished: bool = False

    @classmethod
    def read(cls, run: Run) -> "Attempts":
        """Those of a run; an attempt that was killed with its driver lasted until the last sign of it.

        Raises:
            UserError: for attempts with other flags, from whose checkpoint another run would go on.
        """
        path = run.output.with_suffix(".json")
        try:
            found = cls(path, **json.loads(path.read_text()))
        except FileNotFoundError:
            return cls(path, settings=run.settings)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it") from None
        if (found.settings or run.settings) != run.settings:
            raise UserError(f"{path} is of a run with other flags: remove {path.with_suffix('')}*, or give --log_dir")
        if found.since is not None:
            last = max(file.stat().st_mtime for file in (path, run.output, *run.output.with_suffix("").rglob("*")))
            found.seconds += max(0.0, last - found.since)
            found.cpu_seconds, found.since = None, None
        return found

    def begin(self, commit: str, settings: str) -> None:
        """Written before the command starts, so that an attempt whose end nobody sees is known."""
        self.settings, self.finished = settings, False
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


def all_runs(protocol: Protocol, methods: Sequence[str], seeds: Sequence[int], place: Place) -> list[Run]:
    """The runs of the given methods, seed by seed; a seed's pretraining comes before what starts from it."""
    runs = []
    for seed in seeds:
        weights = None
        if protocol.pretraining is not None:
            pretraining, weights = _pretraining(protocol, seed, place)
            runs.append(pretraining)
        runs += [_method(protocol, method, seed, place, weights) for method in methods]
    return runs


def _common(protocol: Protocol, name: str, seed: int, place: Place) -> dict[str, Any]:
    words: dict[str, Any] = {**protocol.common, "seed": seed, "run_name": name, "log_dir": place.folder}
    if protocol.images:
        words["data_dir"] = place.data_dir
    if protocol.frozen:
        words["feature_cache"] = place.feature_cache
    return words


TRAINING = {"wandb": False, "enable_progress_bar": False, "resume_from_checkpoint": "auto"}


def _pretraining(protocol: Protocol, seed: int, place: Place) -> tuple[Run, Path]:
    name = f"{PRETRAINING}-seed{seed}"
    settings = {**_common(protocol, name, seed, place), **(protocol.pretraining or {}), **TRAINING}
    settings |= {"comment": f"seed{seed}", "checkpoint_dir": place.folder / "pretrained"}
    known = {flag.name for flag in flags_of("pretrain")}
    words = [*as_words(settings), *_of_stage(place.more, known)]
    args = cli.parse("pretrain", words)
    weights = Path(args.checkpoint_dir) / f"{cli.run_name(args, 'pretrain')}.cp"
    metrics = place.folder / name / "metrics.json"
    run = Run(PRETRAINING, seed, (PRETRAINING_MAIN, *words), metrics, place.folder / f"{name}.txt")
    return run, weights


def _method(protocol: Protocol, method: str, seed: int, place: Place, weights: Path | None) -> Run:
    entry, name = protocol.methods[method], f"{method}-seed{seed}"
    weights = weights if entry.pretrained else None
    settings = _common(protocol, name, seed, place)
    metrics = place.folder / name / "metrics.json"
    more = place.more.split()
    if entry.trains:
        settings |= {**protocol.training, **entry.settings, **TRAINING, "report": False, "comment": f"seed{seed}"}
        settings |= {"pretrained": weights} if weights else {}
    else:
        settings |= {**entry.settings, **({"checkpoint": weights} if weights else {})}
        metrics = place.folder / name / method / "metrics.json"
        more = _of_stage(place.more, {flag.name for flag in flags_of("features")})
    words = (entry.main, *as_words(settings), *more)
    return Run(method, seed, words, metrics, place.folder / f"{name}.txt", weights is not None)


def _of_stage(more: str, known: set[str]) -> list[str]:
    """Those of further flags that a stage has: the others are for what trains novel classes."""
    words, kept = more.split(), []
    taken = False
    for word in words:
        if word.startswith("--"):
            taken = word[2:].split("=")[0].removeprefix("no-") in known
        if taken:
            kept.append(word)
    return kept


class Stopped(Exception):
    """A signal asked the driver to end; the run's command has written its checkpoint."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Runner:
    """Runs commands one at a time and passes signals on to the one that is running."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.child: subprocess.Popen | None = None
        self.signal: int | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator["Runner"]:
        """While this lasts, a signal ends the running command, which leaves a checkpoint, and then the driver.

        One that this process was told to ignore, as by nohup, stays ignored.
        """
        heeded = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._forward) for number in heeded}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

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
        attempts = Attempts.read(run)
        attempts.begin(commit(), run.settings)
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
        self.check()
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
        UserError: when its metrics cannot be read.
    """
    try:
        metrics = json.loads(run.metrics.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{run.metrics} cannot be read ({error})") from None
    attempts = Attempts.read(run)
    extracted = EXTRACTED.findall(run.output.read_text(errors="replace"))
    from importlib.metadata import version

    return {
        **{name: round(value, 6) if value else value for name, value in metrics.items() if name != "seconds"},
        **{"method": run.method, "seed": run.seed, "more": place.more, "settings": run.settings},
        "seconds": round(attempts.seconds, 1),
        "cpu_seconds": None if attempts.cpu_seconds is None else round(attempts.cpu_seconds, 1),
        "extraction_seconds": round(sum(map(float, extracted)), 1),
        **{"torch": version("torch"), "device": device(place.threads), "commit": ",".join(attempts.commits)},
        **{"date": date.today().isoformat(), "images": place.images},
    }


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


@contextlib.contextmanager
def run_lock(run: Run, runner: Runner, wait: bool) -> Iterator[int | None]:
    """The handle of a run's lock; None when another driver, or a command that has outlived its driver, has it.

    Args:
        run: which.
        runner: whose signals end the waiting.
        wait: until it is free.
    """
    run.output.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(run.output.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        free = _is_free(handle)
        if wait and not free:
            print(f"waiting for {run.name}, which another process is running", flush=True)
        while wait and not free:
            time.sleep(WAIT)
            runner.check()
            free = _is_free(handle)
        yield handle if free else None
    finally:
        os.close(handle)


def _is_free(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def last_line(output: Path) -> str:
    """The last line that a run has printed."""
    with open(output, "rb") as file:
        file.seek(max(0, output.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
