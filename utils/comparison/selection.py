"""The rows that stand in one table or picture, and what is left out of them. Imports no torch."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.comparison.commands import Place, all_runs, digests
from utils.comparison.protocols import Protocol
from utils.comparison.rows import Row, outdated
from utils.errors import listed


@dataclass(frozen=True)
class Selection:
    """Rows of the same methods, seeds and flags.

    Args:
        names: the methods in their order, after the pretraining if one starts from it.
        seeds: of each.
        rows: that may stand together.
        former: rows of these methods and seeds whose commands have other flags now.
        others: further flags -> how many rows have them.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: Sequence[Row]
    former: Sequence[Row]
    others: Mapping[str, int]

    def left_out(self) -> list[str]:
        """Lines on rows that somebody may miss."""
        lines = []
        if self.former:
            names = [f"{row['method']} {row['seed']}" for row in self.former]
            lines.append(f"Left out, since the protocol has other flags now: {listed(names)}.")
        if not self.rows:
            lines += [
                f"{count} row{'s' * (count > 1)} of other flags: --more={shlex.quote(more)}."
                for more, count in self.others.items()
            ]
        return lines


def select(
    protocol: Protocol, rows: Sequence[Row], methods: Sequence[str], seeds: Sequence[int], more: str = ""
) -> Selection:
    """Those of the given methods, seeds and further flags, with the flags that the protocol has now."""
    nowhere = Path()
    settings = digests(all_runs(protocol, methods, seeds, Place(nowhere, nowhere, nowhere, more=more)))
    there = [row for row in rows if row["more"] == more and (row["method"], row["seed"]) in settings]
    former = outdated(there, settings)
    return Selection(
        names=tuple(dict.fromkeys(name for name, _ in settings)),
        seeds=tuple(seeds),
        rows=[row for row in there if row not in former],
        former=former,
        others=Counter(row["more"] for row in rows if row["more"] != more),
    )
