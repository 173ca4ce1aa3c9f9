"""Names of backbones: timm's, with or without the tag of their weights, and names for weights that others publish."""

import difflib
from typing import Any

from utils.errors import UserError

LITE0 = "lite0"
ALIASES = {LITE0: "tf_efficientnet_lite0"}  # backbone -> architecture of timm
SHOWN = 3


def architecture(name: str) -> str:
    """timm's name."""
    return ALIASES.get(name, name)


def known_config(name: str) -> dict[str, Any]:
    """timm's configuration of the weights that a name means.

    Raises:
        UserError: for an unknown name, with the nearest ones.
    """
    import timm

    base, _, tag = architecture(name).partition(".")
    if not timm.is_model(base) or "/" in name or ":" in name:
        near = difflib.get_close_matches(name.lower(), [*ALIASES, *timm.list_models()], n=SHOWN)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists the names"
        raise UserError(f"unknown --backbone '{name}'; {hint}")
    tagged = timm.list_pretrained(base)
    if tag and f"{base}.{tag}" not in tagged:
        tags = f"known are {', '.join(tagged)}" if tagged else "there are none"
        raise UserError(f"--backbone {name}: timm knows no weights '{tag}' of {base}; {tags}")
    config = timm.models.get_pretrained_cfg(architecture(name))
    return config.to_dict() if config else {}
