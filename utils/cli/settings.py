"""Settings by the names of the flags: defaults, completion and checks, from the table in :mod:`utils.cli.flags`."""

import difflib
from collections.abc import Mapping
from typing import Any

from utils.cli.backbone_settings import what_is_trained
from utils.cli.flag_types import NOT_NEGATIVE, Flag
from utils.cli.flags import flags_of
from utils.cli.methods import Method
from utils.errors import UserError

RECORDED = {
    "pretrained_from": None,
    "class_names": None,
    "num_unlabeled_estimated": False,
    "backbone_data": None,
    "backbone_weights_from": None,
    "baseline": None,
}  # written by a run, not given by the user


def factor_flag(name: str, weight: float) -> Flag:
    """The flag of a constraint's weight."""
    return Flag(f"factor_{name}", weight, f"weight of the constraint '{name}'", float, ("discover",), NOT_NEGATIVE)


def resolve(
    stage: str,
    given: Mapping[str, Any],
    factors: Mapping[str, float] | None = None,
    method: Method | None = None,
) -> dict[str, Any]:
    """All settings of a stage: those given, and the flags' defaults for the others.

    Args:
        stage: ``pretrain``, ``discover`` or ``disentangle``.
        given: flag -> value; the weight ``factor_<k>`` of any constraint is taken.
        factors: constraint -> default weight.
        method: of ``baselines/``; it brings flags, defaults and factors of its own.

    Raises:
        UserError: for a name that is no flag (with the nearest one), or a value that no run can use.
    """
    settings = RECORDED | {flag.name: flag.default_for(stage) for flag in flags_of(stage)}
    if method:
        settings |= {flag.name: flag.default_for(stage) for flag in method.rows} | method.preset()
        settings |= {"baseline": method.name}
        factors = {**(factors or {}), **method.factors}
    settings |= {f"factor_{name}": weight for name, weight in (factors or {}).items()}
    for name in given.keys() - settings.keys():
        if not name.startswith("factor_"):
            near = difflib.get_close_matches(name, settings, n=1)
            raise UserError(f"unknown setting '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    settings |= given
    if "train" in settings:
        settings["train"] = what_is_trained(settings)
    check(settings, stage, method)
    return settings


def check(settings: Mapping[str, Any], stage: str, method: Method | None = None) -> None:
    """Refuse values that no run can use.

    Raises:
        UserError: naming the flag, its value and what it has to be.
    """
    for flag in [*flags_of(stage), *(method.rows if method else [])]:
        value = settings[flag.name]
        if flag.check and value is not None and not flag.check[0](value):
            raise UserError(f"--{flag.name} is {value} but must be {flag.check[1]}")
    if stage == "discover" and settings["num_large_crops"] + settings["multicrop"] * settings["num_small_crops"] < 2:
        raise UserError("swapped prediction needs two views: raise --num_large_crops or add --multicrop")
