"""DualRank's network: two last stages on one trunk, of the whole image and of its parts (arXiv:2107.03358).

V views, B samples a view, D features.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.errors import UserError
from utils.nets.batch_norm import ViewBatchNorm2d, begin_pass
from utils.nets.cosine_net import CosineNet
from utils.nets.encoder import Encoder
from utils.nets.heads import Prototypes


class LocalBranch(nn.Module):
    """A copy of the encoder's last stage with heads of its own."""

    def __init__(self, encoder: Encoder, num_labeled: int, num_unlabeled: int) -> None:
        super().__init__()
        self.layer4 = copy.deepcopy(encoder.layer4)
        self.norms = [module for module in self.layer4.modules() if isinstance(module, ViewBatchNorm2d)]
        self.head_lab = Prototypes(encoder.num_features, num_labeled)
        self.head_unlab = Prototypes(encoder.num_features, num_unlabeled)


class DualRankNet(CosineNet):
    """Outputs of the local branch end in ``_local``; ``map_local`` is (V, B, D, h, w).

    Raises:
        UserError: with a backbone that is no ResNet of this code: it needs the stages.
    """

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        if not isinstance(self.encoder, Encoder):
            raise UserError("DualRank needs the last stage of the ResNet of --arch: leave --backbone away")
        self.local: Any = LocalBranch(self.encoder, sizes["num_labeled"], sizes["num_unlabeled"])
        self.complete()

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        if isinstance(views, Tensor):
            return {name: value[0] for name, value in self.forward([views]).items()}
        trunk, shape = self.trunk(views), (len(views), -1)
        maps = self.encoder.layer4(trunk), self.local.layer4(trunk)
        return self.heads(*(value.unflatten(0, shape) for value in maps))

    def heads(self, map_global: Tensor, map_local: Tensor) -> dict[str, Tensor]:
        """The outputs, from both branches' maps (V, B, D, h, w)."""
        feats, local = map_global.mean(dim=(3, 4)), map_local.mean(dim=(3, 4))
        with torch.autocast(feats.device.type, enabled=False):
            dtype = self.head_lab.prototypes.weight.dtype
            unit, unit_local = (F.normalize(value.to(dtype), dim=-1) for value in (feats, local))
            return {
                "feats": feats,
                **self.cosines(unit),
                "feats_local": local,
                "logits_lab_local": self.local.head_lab(unit_local),
                "logits_unlab_local": self.local.head_unlab(unit_local)[:, None],
                "map_local": map_local,
            }

    def trunk(self, views: Sequence[Tensor]) -> Tensor:
        """The last map (V*B, D/2, h, w) before the branches, of views of one size."""
        encoder = self.encoder
        begin_pass([*encoder.norms, *self.local.norms], len(views))
        x = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(torch.cat(list(views))))))
        return encoder.layer3(encoder.layer2(encoder.layer1(x)))
