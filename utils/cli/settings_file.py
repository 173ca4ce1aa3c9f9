"""The settings file of contrastive disentangling: ``common`` and a block for each dataset, checked key by key.

The blocks of the datasets are below ``datasets``, as published, or beside ``common``. A key is the name of a flag of
train.py; the order of precedence is flag, block of the dataset, ``common``, default.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.cli.flag_types import Flag, named_places
from utils.cli.flags import flags_of
from utils.data.specs import dataset_spec
from utils.errors import UserError, did_you_mean, shortened

COMMON, DATASETS = "common", "datasets"
NOT_IN_FILE = ("config", "dataset", "print_config", "debug")
DEFAULT_PATH = Path(__file__).resolve().parents[2] / "config" / "config.yaml"


def dataset_settings(dataset: str | None, path: str | None = None, own: str | None = None) -> dict[str, Any]:
    """The file's settings for a dataset, by the names of the flags.

    Args:
        dataset: value of ``--dataset``; None gives those of ``common``.
        path: of the file; None: ``config/config.yaml`` of this repository.
        own: value of ``--customize_datasets`` on the command line.

    Raises:
        UserError: for an unknown dataset, a file that cannot be read, an unknown key, and a value of a wrong type.
    """
    file = Path(path) if path else DEFAULT_PATH
    blocks = read_config(file)
    settings = dict(blocks.get(COMMON, {}))
    if dataset is not None:
        places = dict(settings.get("customize_datasets") or {})
        try:
            places |= named_places(own or "")
        except ValueError:
            places = {}  # the flag's own error says more
        settings |= blocks.get(dataset if dataset in places else dataset_spec(dataset).name, {})
    settings["epoch"] = settings.get("epochs", 1000)  # evaluate.py looks for the model of the last epoch
    return settings


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """Block -> key -> value, all of them checked.

    Raises:
        UserError: naming the file, the block and the key.
    """
    import yaml

    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"--config {path} cannot be read: {reason}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"--config {path} is not YAML: {shortened(str(error))}") from None
    if not isinstance(content, Mapping):
        raise UserError(f"--config {path}: expected blocks of settings, `{COMMON}` and one for each dataset")
    below = content.get(DATASETS)
    if below is not None and not isinstance(below, Mapping):
        raise UserError(f"--config {path}: {DATASETS} is {below!r} but must hold a block for each dataset")
    blocks = [(name, block) for name, block in content.items() if name != DATASETS] + list((below or {}).items())
    names = [str(name) for name, _ in blocks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"--config {path} has the block '{twice[0]}' twice, below '{DATASETS}' and beside it")
    flags = {flag.name: flag for flag in flags_of("disentangle") if flag.name not in NOT_IN_FILE}
    return {
        name: _checked_block(f"--config {path}: {name}", block, flags)
        for name, (_, block) in zip(names, blocks, strict=True)
    }


def load_yaml(text: str) -> Any:
    """Plain values from YAML; a key that stands twice in a block is an error, where the last one would win in silence.

    Raises:
        yaml.YAMLError: for anything else than plain values.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # before `<<` brings others in
            node = super().compose_mapping_node(anchor)
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key, _ in node.value:
                if keys.count(key.value) > 1:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key '{key.value}' is there twice", key.start_mark
                    )
            return node

    return yaml.load(text, Loader)


def _checked_block(where: str, block: Any, flags: Mapping[str, Flag]) -> dict[str, Any]:
    if block is None:
        return {}
    if not isinstance(block, Mapping):
        raise UserError(f"{where} is not a block of settings")
    for key in block:
        if key not in flags:
            raise UserError(f"{where} has the unknown key '{key}'{did_you_mean(key, flags)}")
    settings = {key: _checked_value(f"{where}.{key}", value, flags[key]) for key, value in block.items()}
    if isinstance(settings.get("checkpoint"), bool):  # published: whether checkpoints are written
        settings["save_checkpoint"] = settings.pop("checkpoint")
    return settings


def _checked_value(where: str, value: Any, flag: Flag) -> Any:
    """A value as the flag would give it; numbers may be written as texts, since YAML 1.1 takes 3e-4 for one.

    Raises:
        UserError: for another type, or a value that the flag does not take.
    """
    if value is None and flag.default_for("disentangle") is None:
        return None
    kind, expected = flag.kind, KINDS.get(flag.kind, "a text")
    problem = UserError(f"{where} is {value!r} but must be {expected}")
    if kind is bool:
        if not isinstance(value, bool):
            raise problem
        return value
    if kind is named_places:
        return _places(value, problem)
    if flag.name == "checkpoint" and isinstance(value, bool):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (kind is str and value == ""):
        raise problem
    if kind is str and "type" not in flag.extra and isinstance(value, float):
        raise problem
    try:
        converted = flag.extra.get("type", kind)(str(value))
    except ValueError:
        raise problem from None
    if flag.check and not flag.check[0](converted):
        raise UserError(f"{where} is {value!r} but must be {flag.check[1]}")
    choices = flag.extra.get("choices")
    if choices and converted not in choices:
        raise UserError(f"{where} is {value!r} but must be one of {', '.join(choices)}")
    return converted


def _places(value: Any, problem: UserError) -> dict[str, str] | None:
    """``customize_datasets``: a mapping from names to places, or its text; false, like nothing at all, is none."""
    if value is False:
        return None
    if isinstance(value, str):
        try:
            return named_places(value)
        except ValueError:
            raise problem from None
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for pair in value.items() for v in pair):
        raise problem
    return dict(value)


KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    named_places: "a mapping from names to folders or npz:<file>",
}
