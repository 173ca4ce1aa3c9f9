"""The methods beside the mains: what the row of the published table and the command line know of one.

Imports nothing heavy: flags are parsed before anything else happens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.cli.baseline_flags import BASELINE
from utils.cli.flag_types import Flag

PAIR_FLAGS = ("rampup_length", "rampup_coefficient", "freeze_early")  # of all methods on pairs of images
Published = tuple[float | None, float | None, float | None, float | None]


@dataclass(frozen=True)
class Method:
    """One method: a file ``baselines/<name>.py`` with this row and, where it discovers, a ``Discoverer``.

    Args:
        name: of the file.
        title, venue: as in the published table.
        published: accuracies (%) on novel training images of CIFAR10-5, CIFAR100-20, CIFAR100-50 and ImageNet; None
            where the table has none.
        flags: names of its own flags, rows of :data:`utils.cli.baseline_flags.BASELINE`.
        factors: constraint -> default weight, the flag ``--factor_<constraint>``.
        recipe: flag -> default, as published; those that a dataset brings win.
        always: flag -> default that wins over the dataset's, where the method would be another one without it.
        digits: the same for the dataset ``digits`` alone.
        stage: whose flags its command has.
    """

    name: str
    title: str
    venue: str
    published: Published
    flags: tuple[str, ...] = ()
    factors: Mapping[str, float] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    always: Mapping[str, Any] = field(default_factory=dict)
    digits: Mapping[str, Any] = field(default_factory=dict)
    stage: str = "discover"

    @property
    def rows(self) -> list[Flag]:
        """Its own flags."""
        return [flag for group in BASELINE.values() for flag in group if flag.name in self.flags]

    def preset(self, dataset: str | None = None, brought: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Flag -> default, where it is not that of all of discovery.

        Args:
            dataset: value of ``--dataset``.
            brought: the defaults of that dataset.
        """
        return {**self.recipe, **(brought or {}), **self.always, **(self.digits if dataset == "digits" else {})}


def pair_method(
    name: str,
    title: str,
    venue: str,
    published: Published,
    *flags: str,
    recipe: Mapping[str, Any] | None = None,
    digits: Mapping[str, Any] | None = None,
) -> Method:
    """A method on pairs of images: one head, and AutoNovel's settings where its own are not given.

    Args:
        name, title, venue, published: as of :class:`Method`.
        *flags: those beside the ones that all these methods have.
        recipe, digits: as of :class:`Method`, where they differ.
    """
    return Method(
        name,
        title,
        venue,
        published,
        flags=(*PAIR_FLAGS, *flags),
        recipe={"max_epochs": 200, "base_lr": 0.1, "weight_decay_opt": 1e-4, "batch_size": 128, **(recipe or {})},
        always={"num_heads": 1},
        digits={"rampup_length": 16, "freeze_early": False, **(digits or {})},
    )


def similarity_method(name: str, title: str, venue: str, published: Published, *flags: str) -> Method:
    """A method on pairs that a similarity network judges: no consistency of two views but on the digits."""
    recipe, digits = {"rampup_coefficient": 0.0}, {"rampup_coefficient": 5.0}
    return pair_method(name, title, venue, published, *flags, recipe=recipe, digits=digits)
