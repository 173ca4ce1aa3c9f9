"""Protocols as they stand in a file, checked key by key. Imports no torch."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from utils.cli.flag_types import LARGEST_SEED
from utils.cli.settings_file import load_yaml
from utils.comparison.commands import GIVEN, OURS, flag_of
from utils.comparison.protocols import PRETRAINING, PROTOCOLS, Images, Method, Protocol
from utils.errors import UserError, did_you_mean, listed, shortened


def _whole(value: Any, most: float = math.inf) -> bool:
    return type(value) is int and 0 <= value <= most


def _seeds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(_whole(seed, LARGEST_SEED) for seed in value)
        and 0 < len(value) == len({*value})
    )


Rule = tuple[Callable[[Any], bool], str]  # whether a value fits, and what it has to be
TEXT: Rule = (lambda value: isinstance(value, str) and value != "", "a text")
YES_OR_NO: Rule = (lambda value: isinstance(value, bool), "true or false")
COUNT: Rule = (_whole, "a whole number")
HOURS: Rule = (lambda value: type(value) in (int, float) and 0 <= value < math.inf, "a number of hours")
SEEDS: Rule = (_seeds, "a list of whole numbers such as [0, 1, 2], each there once")
VALUE: Rule = (lambda value: isinstance(value, (bool, int, float, str)), "a number, a text, true or false")
BLOCK: Rule = (lambda value: isinstance(value, Mapping), "a block of keys and values")
METHODS: Rule = (lambda value: isinstance(value, Mapping) and len(value) > 0, "a block of at least one method")
NEEDED = {"about": TEXT, "hours": HOURS, "seeds": SEEDS, "methods": METHODS}
SETTINGS = dict.fromkeys(("common", "pretraining", "training"), BLOCK)
IMAGES = {"dataset": TEXT, "train": COUNT, "test": COUNT}
METHOD = {"main": TEXT, "trains": YES_OR_NO, "pretrained": YES_OR_NO}


def read_protocols(path: Path = PROTOCOLS) -> dict[str, Protocol]:
    """All protocols of a file; keys that begin with a dot hold what several share, and an empty value is none.

    Raises:
        UserError: for a file that is not there or says something else, naming the protocol and the key.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is no file of protocols ({shortened(str(error), 120)})") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path} is no file of protocols: it holds no block with the name of one")
    named = {name: values for name, values in content.items() if not str(name).startswith(".")}
    return {name: _protocol(f"{path}: {name}", name, values) for name, values in named.items()}


def _protocol(where: str, name: Any, values: Any) -> Protocol:
    _require(f"{where}: its name", name, TEXT)
    given = _block(where, values, {**NEEDED, **SETTINGS, "images": BLOCK}, NEEDED)
    settings = {block: _settings(f"{where}.{block}", given[block]) for block in SETTINGS if block in given}
    methods = {method: _method(f"{where}.methods.{method}", method, rest) for method, rest in given["methods"].items()}
    images = Images(**_block(f"{where}.images", given["images"], IMAGES, IMAGES)) if "images" in given else None
    rest = {"name": name, "seeds": tuple(given["seeds"]), "methods": methods, "images": images}
    return Protocol(**{**given, **settings, **rest})


def _method(where: str, name: Any, values: Any) -> Method:
    _require(f"{where}: its name", name, TEXT)
    if name == PRETRAINING:
        raise UserError(f"{where} has the name that the rows of the pretraining have; give it another")
    settings = dict(values or {}) if isinstance(values, Mapping | None) else values
    _require(where, settings, BLOCK)
    own = _block(where, {key: settings.pop(key) for key in METHOD if key in settings}, METHOD)
    given = {"main": f"baselines/{name}.py", "trains": True, "pretrained": True, **own}
    return Method(name=name, settings=_settings(where, settings), **given)


def _block(where: str, values: Any, known: Mapping[str, Rule], needed: Iterable[str] = ()) -> dict[str, Any]:
    """What a block says, without the empty values."""
    _require(where, values, BLOCK)
    for key in values:
        if key not in known:
            raise UserError(f"{where} has the unknown key '{key}'{did_you_mean(key, known)}")
    given = {key: value for key, value in values.items() if value is not None}
    for key, value in given.items():
        _require(f"{where}.{key}", value, known[key])
    if lacking := [key for key in needed if key not in given]:
        raise UserError(f"{where} lacks {listed(lacking)}")
    return given


def _settings(where: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    for key, value in values.items():
        if flag_of(f"--{key}") in OURS:
            raise UserError(f"{where} has {key}, which is set for each run ({GIVEN}); remove it")
        _require(f"{where}.{key}", value, VALUE)
    return values


def _require(where: str, value: Any, rule: Rule) -> None:
    fits, what = rule
    if not fits(value):
        raise UserError(f"{where} is {shortened(repr(value), 60)} but must be {what}")
