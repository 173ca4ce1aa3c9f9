"""Whether a run can go on from a checkpoint, and what it says when it does."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from utils import torch_files
from utils.cli.resume_rules import REFUSED, SAID, STAGE_MARKS, changes
from utils.errors import UserError, listed

CONSEQUENCES = ("class_names", "images", "num_unlabeled_classes")  # told if nothing else has changed, in this order
NEARBY = 3  # runs that are named


def check_checkpoint(path: Path, settings: Mapping[str, Any]) -> list[str]:
    """Whether a run with these settings can go on from a checkpoint.

    Returns:
        lines that say from where it goes on, and with which settings changed.

    Raises:
        UserError: for a damaged file, that of another run, and one that is further than this run is to go.
    """
    checkpoint = torch_files.load_torch(path)
    if not isinstance(checkpoint, dict) or "loops" not in checkpoint or "hyper_parameters" not in checkpoint:
        raise UserError(f"{path} is no checkpoint of a run (such as logs/<run>/last.ckpt)")
    theirs = checkpoint["hyper_parameters"]
    for name in STAGE_MARKS:
        if (name in theirs) != (name in settings):
            raise UserError(f"{path} is a checkpoint of another stage of training: only one of the two has --{name}")
    changed = changes(theirs, settings)
    if changed[REFUSED]:
        name = min(changed[REFUSED], key=lambda name: CONSEQUENCES.index(name) if name in CONSEQUENCES else -1)
        there, here = changed[REFUSED][name]
        what, remedy = f"it has --{name} {there}, this one {here}", f"give --{name} as it was"
        if name == "class_names":
            what = f"its labelled classes are {listed(there)}, this one's {listed(here)}"
            remedy = "give --data_dir and --labeled_classes as they were"
        elif name == "images":
            what = f"the images are not those of the checkpoint ({_difference(there, here)})"
            remedy = "start a new run, or give --data_dir as it was"
        elif name == "num_unlabeled_classes" and settings.get("num_unlabeled_estimated"):
            what = f"it has --{name} {there}, and auto found {here} this time"
            remedy = f"give --{name} {there}, or the flags of the estimate as they were"
        raise UserError(f"{path} is of another run: {what}; {remedy}")
    lines = [_position(path, checkpoint, settings)]
    if changed[SAID]:
        said = ", ".join(f"--{name} {there} -> {here}" for name, (there, here) in changed[SAID].items())
        lines.append(f"changed   since that checkpoint: {said}")
    return lines


def _difference(there: Mapping[str, int], here: Mapping[str, int]) -> str:
    """Between two records of images."""
    counts = [part for part in ("training", "test") if there.get(part) != here.get(part)]
    changed = ", ".join(f"{part} images {there[part]:,} -> {here[part]:,}" for part in counts)
    return changed or "as many, but others, or with other labels"


def _position(path: Path, checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    loops = checkpoint["loops"]["fit_loop"]
    current = loops["epoch_progress"]["current"]
    done, within = current["processed"], current["ready"] > current["processed"]
    name, epochs = _length(settings)
    if done > epochs or (within and done == epochs):
        where = f"is within epoch {done + 1}" if within else f"has {done} epochs done"
        raise UserError(f"{path} {where}, and --{name} is {epochs}; give --{name} {done + within} or more")
    steps = f"{checkpoint['global_step']:,} steps in all"
    if done == epochs:
        return f"resuming  {path}: all {done} epochs are done, {steps}"
    step = loops["epoch_loop.batch_progress"]["current"]["ready"] if within else 0
    return f"resuming  {path}: epoch {done + 1} of {epochs}, after step {step}; {steps}"


class Progress(NamedTuple):
    """How far a checkpoint's run has gone."""

    steps: int = 0
    epochs: int = 0
    planned: int = 0  # epochs

    def __str__(self) -> str:
        return f"{self.epochs} of {self.planned} epochs, {self.steps:,} steps" if self.planned else "unreadable"

    @property
    def rank(self) -> tuple[int, bool]:
        """Of two runs the one with more steps has gone further, of equals a finished one."""
        return self.steps, self.epochs >= self.planned > 0


def progress(path: Path) -> Progress:
    """How far a checkpoint's run has gone; nowhere for what is no checkpoint."""
    try:
        checkpoint = torch_files.load_torch(path)
        done = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        return Progress(int(checkpoint["global_step"]), int(done), _length(checkpoint["hyper_parameters"])[1])
    except (UserError, KeyError, TypeError):
        return Progress()


def _length(settings: Mapping[str, Any]) -> tuple[str, int]:
    """The flag that says how many epochs a run is to have, which the two families of mains name differently; them."""
    name = "epochs" if "epochs" in settings else "max_epochs"
    return name, settings.get(name) or 0


def nothing_found(folder: Path, last: str) -> str:
    """What ``auto`` says when a run's folder holds no checkpoint: the runs beside it may be the one that was meant."""
    text = f"note: no checkpoint in {folder}, so that a new run starts"
    beside = sorted(path.parent.name for path in folder.parent.glob(f"*/{last}") if path.parent != folder)
    near = sorted(beside, key=lambda name: -difflib.SequenceMatcher(None, folder.name, name).ratio())[:NEARBY]
    if near:
        more = f" and {len(beside) - len(near)} more" if len(beside) > len(near) else ""
        text += f"; runs in {folder.parent}: {', '.join(near)}{more} (--comment and --run_name choose)"
    return text
