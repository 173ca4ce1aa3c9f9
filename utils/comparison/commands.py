"""The command lines of a protocol's runs, and what they print. Imports no torch."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils import cli
from utils.cli.flags import as_words, flags_of
from utils.comparison.protocols import PRETRAINING, PRETRAINING_MAIN, Protocol
from utils.data.specs import DATASETS
from utils.errors import UserError, listed

PLACES = ("data_dir", "feature_cache", "log_dir", "checkpoint_dir", "pretrained", "checkpoint")
EXTRACTED = re.compile(r"^features  [\d,]+ images in ([\d,.]+) seconds", re.M)  # as utils.inference.extraction says it
TRAINING = {"wandb": False, "enable_progress_bar": False, "resume_from_checkpoint": "auto"}
OURS = frozenset({"seed", "run_name", "comment", "report", *PLACES, *TRAINING})  # flags that no protocol gives
GIVEN = "seeds are given by --seeds, places by --data_dir, --feature_cache and --log_dir"


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
        pretrained: digest of its seed's pretraining, if it starts from it.
        weights: the file that it leaves for others, if it is the pretraining.
        images: digest of the data.
    """

    method: str
    seed: int
    words: tuple[str, ...]
    metrics: Path
    output: Path
    pretrained: str | None = None
    weights: Path | None = None
    images: str = ""

    @property
    def name(self) -> str:
        return f"{self.method}-seed{self.seed}"

    @property
    def key(self) -> tuple[str, str]:
        """Method and seed, as in a row."""
        return self.method, str(self.seed)

    @property
    def leaves(self) -> bool:
        """Whether the files are there that others need of it."""
        return self.weights is None or self.weights.is_file()

    @property
    def is_whole(self) -> bool:
        """Whether all that it leaves is there."""
        return self.leaves and self.metrics.is_file()

    @property
    def settings(self) -> str:
        """Digest of the command without the places of its files."""
        pairs = zip(self.words, ("", *self.words), strict=False)
        kept = [word for word, before in pairs if before.removeprefix("--") not in PLACES]
        return hashlib.sha256(" ".join(kept).encode()).hexdigest()[:8]


def all_runs(protocol: Protocol, methods: Sequence[str], seeds: Sequence[int], place: Place) -> list[Run]:
    """The runs of the given methods, seed by seed; a seed's pretraining comes before them if one starts from it.

    Raises:
        UserError: for further flags that are set here.
    """
    if taken := [word for word in place.more.split() if word.startswith("--") and flag_of(word) in OURS]:
        raise UserError(f"--more has {listed(taken)}, which is set for each run; {GIVEN}")
    runs: list[Run] = []
    for seed in seeds:
        start = _pretraining(protocol, seed, place) if protocol.pretrains(methods) else None
        runs += [start] if start else []
        runs += [_method(protocol, method, seed, place, start) for method in methods]
    return runs


def _common(protocol: Protocol, name: str, seed: int, place: Place) -> dict[str, Any]:
    words: dict[str, Any] = {**protocol.common, "seed": seed, "run_name": name, "log_dir": place.folder}
    spec = DATASETS.get(protocol.common.get("dataset", ""))
    if spec is None or spec.needs_files:
        words["data_dir"] = place.data_dir
    if protocol.frozen:
        words["feature_cache"] = place.feature_cache
    return words


def _pretraining(protocol: Protocol, seed: int, place: Place) -> Run:
    name = f"{PRETRAINING}-seed{seed}"
    settings = {**_common(protocol, name, seed, place), **(protocol.pretraining or {}), **TRAINING}
    settings |= {"comment": f"seed{seed}", "checkpoint_dir": place.folder / "pretrained"}
    known = {flag.name for flag in flags_of("pretrain")}
    words = [*as_words(settings), *_of_stage(place.more, known)]
    args = cli.parse("pretrain", words)
    weights = Path(args.checkpoint_dir) / f"{cli.run_name(args, 'pretrain')}.cp"
    metrics = place.folder / name / "metrics.json"
    output = place.folder / f"{name}.txt"
    return Run(PRETRAINING, seed, (PRETRAINING_MAIN, *words), metrics, output, weights=weights, images=place.images)


def _method(protocol: Protocol, method: str, seed: int, place: Place, start: Run | None) -> Run:
    entry, name = protocol.methods[method], f"{method}-seed{seed}"
    start = start if entry.pretrained else None
    settings = _common(protocol, name, seed, place)
    metrics = place.folder / name / "metrics.json"
    more = place.more.split()
    if entry.trains:
        settings |= {**protocol.training, **entry.settings, **TRAINING, "report": False, "comment": f"seed{seed}"}
        settings |= {"pretrained": start.weights} if start else {}
    else:
        settings |= {**entry.settings, **({"checkpoint": start.weights} if start else {})}
        metrics = place.folder / name / Path(entry.main).stem / "metrics.json"
        more = _of_stage(place.more, {flag.name for flag in flags_of("features")})
    words = (entry.main, *as_words(settings), *more)
    pretrained = start.settings if start else None
    return Run(method, seed, words, metrics, place.folder / f"{name}.txt", pretrained, images=place.images)


def _of_stage(more: str, known: set[str]) -> list[str]:
    """Those of further flags that a stage has: the others are for what trains novel classes."""
    words, kept = more.split(), []
    taken = False
    for word in words:
        if word.startswith("--"):
            taken = flag_of(word) in known
        if taken:
            kept.append(word)
    return kept


def flag_of(word: str) -> str:
    """The name of the flag that a word begins.

    >>> flag_of("--no-wandb"), flag_of("--seed=3")
    ('wandb', 'seed')
    """
    return word[2:].split("=")[0].removeprefix("no-")


def extraction_seconds(printed: str) -> float:
    """Seconds that a command spent on the features of a frozen backbone, from all that it has printed."""
    return sum(float(seconds.replace(",", "")) for seconds in EXTRACTED.findall(printed))
