"""Protocols as data: which methods run on which seeds, images and settings. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import UserError, listed

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = ROOT / "config" / "protocols.yaml"
PRETRAINING = "pretraining"
PRETRAINING_MAIN = "main_pretrain.py"


@dataclass(frozen=True)
class Images:
    """How many images of each class a protocol is of: other data are refused."""

    dataset: str
    train: int
    test: int


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        main: the file that runs it, below the repository or absolute.
        trains: whether it trains (and takes the settings ``training``), or clusters pretrained features.
        pretrained: whether it starts from the protocol's pretraining, where there is one.
        settings: flag -> value, of this method alone.
    """

    name: str
    main: str
    trains: bool
    pretrained: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Protocol:
    """Methods, seeds and settings whose results may stand in one table.

    Args:
        about: what is measured, a line.
        hours: of one CPU thread, roughly, for all of it.
        seeds: each runs every method.
        common: flag -> value of every command.
        pretraining: of ``main_pretrain.py``, once for each seed; None: nothing is pretrained.
        training: of every method that trains.
        images: what the data must be; None: whatever they are.
    """

    name: str
    about: str
    hours: float
    seeds: tuple[int, ...]
    methods: Mapping[str, Method]
    common: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    images: Images | None = None

    @property
    def frozen(self) -> bool:
        """Whether the methods see cached features of a backbone."""
        return "backbone" in self.common

    def pretrains(self, methods: Iterable[str]) -> bool:
        """Whether one of the ``methods`` starts from the pretraining, so that it belongs to their runs and table."""
        return self.pretraining is not None and any(self.methods[method].pretrained for method in methods)


def chosen(names: str | None, there: Sequence[str], what: str) -> list[str]:
    """Those of a comma-separated list, in the order of ``there``; all without a list.

    Raises:
        UserError: for one that is not there.
    """
    if names is None:
        return list(there)
    asked = [name.strip() for name in names.split(",")]
    if unknown := [name for name in asked if name not in there]:
        raise UserError(f"{what} {listed(unknown)} is not of this protocol; there are {', '.join(there)}")
    return [name for name in there if name in asked]


def require_images(images: Images, data_dir: Path) -> str:
    """Refuse data with other images than the protocol's; the digest of what is there, so that rows can name it.

    Raises:
        UserError: saying how many images of a class there are and must be.
    """
    import hashlib

    import numpy as np

    from utils.data.containers import ImageArrays, SourceRequest
    from utils.data.sources.readers import load_source

    source = load_source(SourceRequest(images.dataset, data_dir))
    if not isinstance(source, ImageArrays):
        raise UserError(
            f"the images of {images.dataset} are too large to be kept in memory and are not counted: a protocol of "
            "them has no `images`"
        )
    for split, labels, count in (
        ("training", source.train_labels, images.train),
        ("test", source.test_labels, images.test),
    ):
        there = np.bincount(labels[labels >= 0], minlength=len(source.class_names))
        if not (there == count).all():
            raise UserError(
                f"{data_dir} ({source.origin}) holds {there.min()} to {there.max()} {split} images of a class of "
                f"{images.dataset}, but this protocol is of {count}; give --data_dir with such data"
            )
    digest = hashlib.sha256(np.ascontiguousarray(source.train_images).data)
    digest.update(np.ascontiguousarray(source.test_images).data)
    return digest.hexdigest()[:12]
