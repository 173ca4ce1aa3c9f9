"""DTC's network: features go linearly into a space with as many dimensions as clusters, whose centres are learnt.

V views, B samples a view, D features, L labelled and U unlabelled classes (Han et al., ICCV 2019, arXiv:1908.09884).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.losses import student_t
from utils.nets.cosine_net import CosineNet


class TransferHead(nn.Module):
    """A linear layer from D to U dimensions, and U centres there."""

    def __init__(self, num_features: int, num_clusters: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, num_clusters)
        self.centers = nn.Parameter(torch.randn(num_clusters, num_clusters))


class TransferNet(CosineNet):
    """Its novel outputs are soft assignments: ``logits_unlab`` (V, 1, B, U) is their logarithm times the temperature.

    ``projected`` (V, B, U) are the points that are assigned.

    Args:
        temperature: of the softmax that turns logits into distributions again.
        **sizes: of :class:`~utils.nets.multi_head_resnet.MultiHeadResNet`.
    """

    def __init__(self, temperature: float, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.temperature = temperature
        self.head_unlab = TransferHead(self.encoder.num_features, sizes["num_unlabeled"])
        self.banks = [self.head_lab]

    def cosines(self, unit: Tensor) -> dict[str, Tensor]:
        return {"logits_lab": self.head_lab(unit)}

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        outputs = super().forward(views)
        if isinstance(views, Tensor):  # it has come through here as a list
            return outputs
        projected = self.head_unlab.linear(outputs["feats"])
        probs = student_t(projected.flatten(0, 1), self.head_unlab.centers).unflatten(0, projected.shape[:2])
        logits = self.temperature * probs.log()
        return outputs | {"projected": projected, "logits_unlab": logits[:, None]}

    def prototype_lengths(self, head: int) -> Tensor:
        """1 for every output: what is far is a small logit."""
        lengths = self.head_lab.prototypes.weight.norm(dim=1)
        return torch.cat([lengths, torch.ones_like(self.head_unlab.centers[:, 0])])
