"""The encoder that the settings of pretraining and discovery ask for, where it is not the ResNet of ``--arch``."""

from dataclasses import asdict
from typing import Any

from utils.nets.backbone import Backbone, build_backbone
from utils.nets.backbone_weights import NONE


def backbone_of(settings: dict[str, Any]) -> Backbone | None:
    """The backbone of ``--backbone``, as far fixed as ``--train`` says; None without that flag.

    With ``--pretrained`` its weights come from there, and no others are read. What it expects of its images is recorded
    in the settings, as ``backbone_data``.

    Raises:
        UserError: for a name, weights, a size or a part to train that the model does not have.
    """
    if settings["backbone"] is None:
        return None
    weights = NONE if settings["pretrained"] else settings["backbone_weights"]
    backbone = build_backbone(settings["backbone"], weights, settings["backbone_size"])
    settings["backbone_data"] = asdict(backbone.data)
    return backbone.fix(settings["train"])
