"""All flags by the stage that has them; the rows are in one table for each family of mains."""

from collections.abc import Mapping
from typing import Any

from utils.cli.baseline_flags import BASELINE
from utils.cli.contrastive_flags import CONTRASTIVE
from utils.cli.discovery_flags import DISCOVERY
from utils.cli.flag_types import CD, Flag

FAMILIES = (DISCOVERY, CONTRASTIVE, BASELINE)


def groups_of(stage: str) -> dict[str, list[Flag]]:
    """Title of a group -> the flags in it that a stage has, in the order of ``--help``."""
    family = CONTRASTIVE if stage in CD else DISCOVERY
    return {title: [flag for flag in rows if stage in flag.stages] for title, rows in family.items()}


def flags_of(stage: str) -> list[Flag]:
    """The flags that a stage has."""
    return [flag for rows in groups_of(stage).values() for flag in rows]


def as_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of a command line.

    >>> as_words({"width": 16, "multicrop": True, "freeze_early": False})
    ['--width', '16', '--multicrop', '--no-freeze_early']
    """
    words = []
    for name, value in settings.items():
        words += [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
    return words
