"""The module class of a checkpoint, by the name that it holds: a file in ``baselines/``, and nothing else."""

import importlib
import pkgutil
from types import ModuleType

from utils.errors import UserError
from utils.methods.discoverer import Discoverer

PACKAGE = "baselines"  # above this room, and therefore imported by its name when a checkpoint asks for it


def baseline_names() -> list[str]:
    """The files in ``baselines/`` that can be run."""
    folder = importlib.import_module(PACKAGE).__path__
    return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))


def baseline_module(name: str) -> ModuleType:
    """The module of a method.

    Raises:
        UserError: for a name that is no file of ``baselines/``: a checkpoint cannot make other code run.
    """
    if name not in baseline_names():
        raise UserError(f"unknown baseline '{name}'; known are {', '.join(baseline_names())}")
    return importlib.import_module(f"{PACKAGE}.{name}")


def discoverer_class(name: str | None) -> type[Discoverer]:
    """The LightningModule of a method; UNO v2's, with or without constraints, for None."""
    return Discoverer if name is None else baseline_module(name).Discoverer
