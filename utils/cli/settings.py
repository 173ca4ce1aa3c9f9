"""Settings by the names of the flags: defaults, completion and checks, from the table in :mod:`utils.cli.flags`."""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from utils.cli.backbone_settings import what_is_trained
from utils.cli.flag_types import NOT_NEGATIVE, Flag
from utils.cli.flags import flags_of
from utils.cli.gcd_settings import default_estimator, recipe_defaults
from utils.cli.methods import Method
from utils.errors import UserError, did_you_mean

LARGEST = 2**31 - 1  # of a whole number: sizes and counts beyond it overflow somewhere
RECORDED = {
    "pretrained_from": None,
    "class_names": None,
    "images": None,
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
        stage: ``pretrain``, ``discover``, ``gcd`` or ``disentangle``.
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
            raise UserError(f"unknown setting '{name}'{did_you_mean(name, settings)}")
    settings |= given
    settings |= dependent_defaults(settings, stage)
    check(settings, stage, method)
    return settings


def dependent_defaults(settings: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Settings whose default depends on other settings, where they are not given."""
    filled: dict[str, Any] = {}
    if "train" in settings:
        filled["train"] = what_is_trained(settings)
    if settings.get("estimator", "") is None:
        filled["estimator"] = default_estimator(settings)
    if stage == "gcd":
        filled |= recipe_defaults({**settings, **filled})
    return filled


def check(settings: Mapping[str, Any], stage: str, method: Method | None = None) -> None:
    """Refuse values that no run can use.

    Raises:
        UserError: naming the flag, its value and what it has to be.
    """
    for flag in [*flags_of(stage), *(method.rows if method else [])]:
        value = settings[flag.name]
        if flag.check and value is not None and not flag.check[0](value):
            raise UserError(f"--{flag.name} is {value} but must be {flag.check[1]}")
        if isinstance(value, int) and value > LARGEST and flag.name != "seed":
            raise UserError(f"--{flag.name} is {value} but must be at most {LARGEST}")
    if stage == "discover" and settings["num_large_crops"] + settings["multicrop"] * settings["num_small_crops"] < 2:
        raise UserError("swapped prediction needs two views: raise --num_large_crops or add --multicrop")
    if stage == "gcd" and settings["num_large_crops"] > 2:
        raise UserError(
            f"--num_large_crops is {settings['num_large_crops']}, but SimGCD compares two views; give 1 or 2"
        )


def check_new_run(settings: Mapping[str, Any]) -> None:
    """Refuse what a run that begins should not have; a checkpoint of an older one that has it can still be read.

    Raises:
        UserError: naming the flag, its value and what it has to be.
    """
    run_name, comment = settings.get("run_name"), settings.get("comment")
    if run_name is not None and not _is_below(run_name):
        raise UserError(f"--run_name is '{run_name}' but must name a folder below --log_dir, without '..'")
    if comment is not None and ("/" in comment or not comment.isprintable()):
        raise UserError(f"--comment is '{comment}' but must be a part of a file's name: printable, without '/'")
    if settings.get("min_lr", 0.0) > settings.get("base_lr", math.inf):
        raise UserError(
            f"--min_lr is {settings['min_lr']} and --base_lr {settings['base_lr']}, but warm-up rises from the first "
            "to the second: lower --min_lr too"
        )


def _is_below(name: str) -> bool:
    """Whether a path stays in the folder that it is relative to, and is not that folder itself."""
    path = PurePath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and name.isprintable()


def remarks(settings: Mapping[str, Any]) -> list[str]:
    """What a run may have, but its user should know."""
    warmup, epochs = settings.get("warmup_epochs", 0), settings.get("max_epochs", math.inf)
    if warmup < epochs:
        return []
    reached = "is reached in the last epoch alone" if warmup == epochs else "is never reached"
    return [f"--warmup_epochs {warmup} leaves nothing of --max_epochs {epochs}: --base_lr {reached}"]
