"""Which checkpoint a run goes on from, the folder that a run has for itself, and what it keeps of runs before it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utils import torch_files
from utils.distributed import say
from utils.errors import UserError
from utils.files import replaced_name, take_lock
from utils.training.checkpoint_io import PREVIOUS
from utils.training.resume_checks import check_checkpoint, nothing_found, progress

LAST = "last.ckpt"
REPLACED = "replaced.ckpt"
SECONDS_TO_END = 10.0  # that a killed run's last processes may take


def require_checkpoint(value: str | None) -> None:
    """Refuse a checkpoint to go on from that is not there, before any data are read.

    Raises:
        UserError: naming it.
    """
    if value not in (None, "auto") and not Path(str(value)).is_file():
        raise UserError(f"--resume_from_checkpoint {value}: there is no such file")


def find_checkpoint(value: str | None, folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The checkpoint to go on from: a path, or with ``auto`` this run's last good one if there is any; says which.

    Args:
        value: of ``--resume_from_checkpoint``.
        folder: of the run.
        settings: of the run.

    Raises:
        UserError: for a path that is not there, is damaged or is of another run; with ``auto`` if that is so for all
            checkpoints that are there.
    """
    if value is None:
        return None
    if value != "auto":
        say("\n".join(check_checkpoint(Path(value), settings)))
        return value
    there = [folder / name for name in (LAST, PREVIOUS) if (folder / name).is_file()]
    problems = []
    for path in there:
        try:
            lines = check_checkpoint(path, settings)
        except UserError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            say(f"warning: {problem}; going on from {path}")
        say("\n".join(lines))
        return str(path)
    if problems:
        raise UserError(
            "; ".join(problems)
            + f"; without --resume_from_checkpoint a run starts anew and keeps the old checkpoint as {REPLACED}"
        )
    say(nothing_found(folder, LAST))
    return None


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Keep a run's folder from other runs until this one ends, however it ends.

    Raises:
        UserError: when another run is writing there.
    """
    lock = _lock(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


@rank_zero_only
def _lock(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder} cannot be used for the run's files ({error.strerror})") from None
    until = time.monotonic() + SECONDS_TO_END
    while not take_lock(handle, wait=False):
        if time.monotonic() > until:
            os.close(handle)
            raise UserError(f"another run is writing to {folder}; wait, or choose another --run_name")
        time.sleep(0.2)
    return handle


@rank_zero_only
def make_ready(folder: Path, source: str | None) -> None:
    """Called when training begins: the last good checkpoint of another run that the folder holds is kept there.

    Where a checkpoint is kept already, the one of the two that has gone further stays, and of equals the later one. A
    run that goes on from the kept one changes places with the other, so that neither is ever without a name.

    Args:
        folder: of the run.
        source: the checkpoint that the run goes on from; None: it is a new one.
    """
    there = [folder / name for name in (LAST, PREVIOUS) if (folder / name).is_file()]
    if not there or (source and any(path.samefile(source) for path in there)):
        return
    best = next((path for path in there if torch_files.has_intact_digest(path)), there[0])
    kept, told, further = folder / REPLACED, f"its checkpoint is kept as {REPLACED}", True
    if kept.is_file() and source and kept.samefile(source):
        os.replace(best, folder / PREVIOUS)
        os.replace(kept, folder / LAST)
        best, there, told = folder / PREVIOUS, [], f"{told}, and the one that this run goes on from is now {LAST}"
    elif kept.is_file():
        older, last = progress(kept), progress(best)
        further = last.rank >= older.rank
        if further:
            told = f"its checkpoint ({last}) is kept as {REPLACED}, and the one kept before ({older}) is dropped"
        else:
            told = f"its checkpoint ({last}) is dropped, for {REPLACED} ({older}) has gone further and stays"
    if further:
        os.replace(best, kept)
    for path in there:
        path.unlink(missing_ok=True)
    say(f"note: {folder} held a run; {told}; other files are replaced by and by")


def write_over(path: Path, write: Callable[[Path | None], bool], own: bool) -> None:
    """Write a file at a name that runs share; one that is not this run's is kept beside, and a line says so.

    Args:
        path: of the file.
        write: writes it, as :func:`utils.files.write_whole` does with ``previous``.
        own: whether what is there is an older file of this run.
    """
    kept = None if own else replaced_name(path)
    if write(kept) and kept is not None:
        say(f"note: {path} was there already; it is kept as {kept.name}")
