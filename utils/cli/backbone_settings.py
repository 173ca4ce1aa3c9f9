"""What the flags of a backbone mean together, and which flags they leave without a meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

from utils.errors import UserError

OF_BACKBONES = ("backbone_weights", "backbone_size", "train")
OF_FEATURES = ("feature_cache", "feature_views", "feature_seed")
OF_RESNETS = {
    "arch": "the backbone takes its place",
    "width": "it is of the ResNet of --arch",
    "image_size": "the backbone's images have --backbone_size",
}


def what_is_trained(settings: Mapping[str, Any]) -> str | None:
    """``--train``, by default ``frozen`` for a pretrained backbone and ``all`` for a random one; None without one."""
    if settings["backbone"] is None or settings["train"] is not None:
        return settings["train"]
    return "all" if settings["backbone_weights"] in (None, "none") else "frozen"


def refuse_contradictions(settings: Mapping[str, Any], words: Sequence[str]) -> None:
    """Refuse flags on the command line that mean nothing beside those of a backbone, or without one.

    Args:
        settings: of the run.
        words: of the command line.

    Raises:
        UserError: naming the flag and why.
    """
    given = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    if settings["backbone"] is None:
        for name in (*OF_BACKBONES, *OF_FEATURES):
            if name in given:
                raise UserError(f"--{name} is of --backbone, which is not given; name one, such as --backbone lite0")
        return
    trained = what_is_trained({"train": None, **settings})
    for name in OF_FEATURES:
        if name in given and trained != "frozen":
            raise UserError(f"--{name} means nothing with --train {trained}: features are kept of a frozen backbone")
    for name, reason in OF_RESNETS.items():
        if name in given:
            raise UserError(f"--{name} means nothing with --backbone ({reason}); leave it away")
