"""The command that repeats a run, from the settings in its checkpoint."""

import shlex
from collections.abc import Mapping
from typing import Any

from utils.cli.flag_types import AUTO
from utils.cli.flags import as_words, flags_of
from utils.cli.gcd_settings import default_estimator, recipe_defaults
from utils.cli.methods import Method
from utils.cli.settings import RECORDED
from utils.data.specs import dataset_spec

NOT_GIVEN = ("print_config", "debug")
FACTOR = "factor_"


def discovery_main(hparams: Mapping[str, Any]) -> str:
    """The main of a run: its constraints are in the file's name; or the file of its method."""
    if hparams.get("baseline"):
        return f"baselines/{hparams['baseline']}.py"
    if stage_of(hparams) == "gcd":
        return "main_discover_gcd.py"
    constraints = [name.removeprefix(FACTOR) for name in hparams if name.startswith(FACTOR)]
    return "_".join(["main_discover", *constraints]) + ".py"


def stage_of(hparams: Mapping[str, Any]) -> str:
    """The stage whose flags a run has: ``discover`` or ``gcd``."""
    return "gcd" if "sup_weight" in hparams else "discover"


def reproduce_words(hparams: Mapping[str, Any], method: Method | None = None) -> list[str]:
    """The flags that differ from the defaults of discovery for this dataset, and the weights of all constraints."""
    stage = stage_of(hparams)
    preset = dataset_spec(hparams["dataset"]).defaults.get(stage, {})
    preset = method.preset(hparams["dataset"], preset) if method else preset
    flags = [*flags_of(stage), *(method.rows if method else [])]
    defaults = {flag.name: preset.get(flag.name, flag.default_for(stage)) for flag in flags}
    defaults["estimator"] = default_estimator(hparams)
    if stage == "gcd":
        defaults |= recipe_defaults(defaults | {"train": hparams.get("train")})
    defaults["image_size"] = dataset_spec(hparams["dataset"]).image_size  # which a run fills in
    given = {name: value for name, value in hparams.items() if name not in (*RECORDED, *NOT_GIVEN)}
    given["pretrained"] = hparams.get("pretrained") or hparams.get("pretrained_from")
    if hparams.get("backbone"):
        given["backbone_weights"] = hparams.get("backbone_weights_from") or hparams["backbone_weights"]
        given |= dict.fromkeys(("arch", "width", "image_size"))  # which say nothing of a backbone
    if hparams.get("num_unlabeled_estimated"):
        given["num_unlabeled_classes"] = AUTO
    given = {name: value for name, value in given.items() if name == "dataset" or value != defaults.get(name)}
    return as_words({name: value for name, value in given.items() if value is not None})


def reproduce_command(hparams: Mapping[str, Any], method: Method | None = None) -> str:
    """The command as one line for a shell."""
    return shlex.join(["python", discovery_main(hparams), *reproduce_words(hparams, method)])
