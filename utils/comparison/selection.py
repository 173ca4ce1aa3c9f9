"""The rows that stand in one table or picture, and what is left out of them. Imports no torch."""

import os
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.comparison.attempts import Attempts
from utils.comparison.commands import Place, Run, all_runs
from utils.comparison.protocols import PRETRAINING, Protocol
from utils.comparison.rows import Row
from utils.errors import listed

NOWHERE = Path(os.devnull)  # no file is below it


@dataclass(frozen=True)
class Selection:
    """Rows of the same methods, seeds, flags and images.

    Args:
        names: the methods in their order, after the pretraining if one starts from it.
        seeds: of each.
        rows: that may stand together.
        former: rows of these methods and seeds whose commands have other flags now.
        foreign: rows of other images than most.
        missing: runs without a row.
        others: further flags -> how many rows have them.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: Sequence[Row]
    former: Sequence[Row]
    foreign: Sequence[Row]
    missing: int
    others: Mapping[str, int]

    @property
    def wanted(self) -> int:
        """How many rows there are when nothing is missing."""
        return len(self.rows) + self.missing

    def left_out(self) -> list[str]:
        """Lines on rows that somebody may miss."""
        lines = []
        if self.former:
            lines.append(f"Left out, since the protocol has other flags now: {named(self.former)}.")
        if self.foreign:
            lines.append(f"Left out, since they are of other images than the rest: {named(self.foreign)}.")
        if not self.rows:
            lines += [
                f"{count} row{'s' * (count > 1)} of other flags: --more={shlex.quote(more)}."
                for more, count in self.others.items()
            ]
        return lines


def select(
    protocol: Protocol,
    rows: Sequence[Row],
    methods: Sequence[str],
    seeds: Sequence[int],
    more: str = "",
    folder: Path = NOWHERE,
) -> Selection:
    """Those of the given methods, seeds and further flags, with the flags that the protocol has now.

    Args:
        protocol, rows, methods, seeds, more: what to select from, and by what.
        folder: of the runs' files, which tell the flags of a pretraining without a row.
    """
    runs = all_runs(protocol, methods, seeds, Place(NOWHERE, NOWHERE, folder, more=more))
    keys = {run.key for run in runs}
    there = [row for row in rows if row["more"] == more and _key(row) in keys]
    former = outdated(there, runs)
    current = [row for row in there if row not in former]
    foreign = of_other_images(current, usual_images(current))
    kept = [row for row in current if row not in foreign]
    lacking = missing(runs, set(map(_key, kept)))
    shown = {row["method"] for row in kept} | {run.method for run in lacking}
    return Selection(
        names=tuple(dict.fromkeys(run.method for run in runs if run.method in shown)),
        seeds=tuple(seeds),
        rows=kept,
        former=former,
        foreign=foreign,
        missing=len(lacking),
        others=Counter(row["more"] for row in rows if row["more"] != more),
    )


def outdated(rows: Sequence[Row], runs: Sequence[Run]) -> list[Row]:
    """Those of other flags than their runs have now, or of a pretraining that had others.

    Args:
        rows: those without a digest are taken as they are; a pretraining without a row has the flags of its attempts.
        runs: as the protocol has them now.
    """
    now = {run.key: run.settings for run in runs}
    other = {_key(row) for row in rows if row["settings"] not in ("", now.get(_key(row), row["settings"]))}
    there = {_key(row) for row in rows}
    for run in runs:
        if run.method == PRETRAINING and run.key not in there:
            other |= {run.key} if Attempts.kept(run).settings not in (None, run.settings) else set()
        elif run.pretrained and (PRETRAINING, str(run.seed)) in other:
            other.add(run.key)
    return [row for row in rows if _key(row) in other]


def usual_images(rows: Sequence[Row]) -> str:
    """The digest of images that most rows name, of as many the first; empty when none does."""
    counts = Counter(row["images"] for row in rows if row["images"])
    return max(counts, key=counts.__getitem__, default="")


def of_other_images(rows: Sequence[Row], images: str) -> list[Row]:
    """Those that name other images; an empty digest, there or here, tells nothing."""
    return [row for row in rows if images and row["images"] not in ("", images)]


def missing(runs: Sequence[Run], done: Collection[tuple[str, str]]) -> list[Run]:
    """Those without a row; a pretraining only where one that starts from it is without, too."""
    lacking = [run for run in runs if run.key not in done]
    waiting = {run.seed for run in lacking if run.pretrained}
    return [run for run in lacking if run.method != PRETRAINING or run.seed in waiting]


def named(rows: Sequence[Row]) -> str:
    """Method and seed of rows, for a message."""
    return listed([" ".join(_key(row)) for row in rows])


def _key(row: Row) -> tuple[str, str]:
    return row["method"], row["seed"]
