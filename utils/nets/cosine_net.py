"""An encoder with one bank of known and one of novel classes, neither of which has a projector.

V views, B samples a view, D features, L labelled and U unlabelled classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.losses.precision import full
from utils.nets.heads import Prototypes
from utils.nets.multi_head_resnet import MultiHeadResNet


class CosineHead(nn.Module):
    """Prototypes on the features themselves, in the form of :class:`~utils.nets.heads.MultiHead` with one head."""

    def __init__(self, num_features: int, num_prototypes: int) -> None:
        super().__init__()
        self.projectors = nn.ModuleList([nn.Identity()])
        self.prototypes = nn.ModuleList([Prototypes(num_features, num_prototypes)])

    def forward(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """From features (V, B, D) to logits (V, 1, B, K) and the features at length 1 (V, 1, B, D)."""
        with torch.autocast(feats.device.type, enabled=False):
            weight = self.prototypes[0].prototypes.weight  # type: ignore[union-attr]
            unit = F.normalize(full(feats), dim=-1)[:, None]
            return unit @ weight.mT.to(unit.dtype), unit  # type: ignore[operator]


class CosineNet(MultiHeadResNet):
    """Encoder, labelled head and one unlabelled head of cosines; outputs have the names of UNO's, with H = 1.

    Args:
        joint: a third bank with all L+U classes, whose outputs are ``logits_all`` (V, 1, B, L+U).
        contrast_dim: of a projector with one hidden layer, whose outputs are ``contrast`` (V, B, P); 0: there is none.
        **sizes: of :class:`~utils.nets.multi_head_resnet.MultiHeadResNet`; those of projectors have no influence.
    """

    def __init__(self, joint: bool = False, contrast_dim: int = 0, **sizes: Any) -> None:
        super().__init__(**sizes | {"num_heads": None})
        features = self.encoder.num_features
        self.head_unlab: Any = CosineHead(features, sizes["num_unlabeled"])
        self.head_all: Any = Prototypes(features, sizes["num_labeled"] + sizes["num_unlabeled"]) if joint else None
        self.contrast: Any = None
        if contrast_dim:
            self.contrast = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, contrast_dim))
        self.complete()

    def cosines(self, unit: Tensor) -> dict[str, Tensor]:
        logits, unit = self.head_unlab(unit)
        found = super().cosines(unit[:, 0]) | {"logits_unlab": logits, "proj_feats_unlab": unit}
        if self.head_all is not None:
            found["logits_all"] = self.head_all(unit)
        if self.contrast is not None:
            found["contrast"] = self.contrast(unit[:, 0])
        return found
