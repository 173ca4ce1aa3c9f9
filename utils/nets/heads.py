"""Heads: banks of prototypes, and many projectors with prototypes each, computed together (UNO v2, arXiv:2108.08536).

V views, B samples a view, H heads, D features, P projected features, K prototypes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.losses.precision import full
from utils.nets.batch_norm import HeadBatchNorm1d, group_batch_norm
from utils.nets.group_linear import group_linear


class Prototypes(nn.Module):
    """A bank of prototypes: logits are cosines with features, since both are normalised."""

    def __init__(self, num_features: int, num_prototypes: int) -> None:
        super().__init__()
        self.prototypes = nn.Linear(num_features, num_prototypes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.prototypes(features)


class MLP(nn.Module):
    """Parameters of one head's projector: (Linear, BatchNorm, ReLU) x num_hidden_layers, then Linear."""

    def __init__(self, num_features: int, hidden_dim: int, proj_dim: int, num_hidden_layers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_hidden_layers):
            layers += [nn.Linear(num_features, hidden_dim), HeadBatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
            num_features = hidden_dim
        self.mlp = nn.Sequential(*layers, nn.Linear(num_features, proj_dim))


class MultiHead(nn.Module):
    """A bank of H projectors with prototypes each, computed by :func:`forward_banks`.

    Every head has its own modules, so that the names in a ``state_dict`` are the published ones.
    """

    def __init__(
        self,
        num_features: int,
        hidden_dim: int,
        proj_dim: int,
        num_prototypes: int,
        num_heads: int,
        num_hidden_layers: int,
    ) -> None:
        super().__init__()
        self.projectors = nn.ModuleList(
            MLP(num_features, hidden_dim, proj_dim, num_hidden_layers) for _ in range(num_heads)
        )
        self.prototypes = nn.ModuleList(Prototypes(proj_dim, num_prototypes) for _ in range(num_heads))

    def forward(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """From features (V, B, D) to logits (V, H, B, K) and normalised projections (V, H, B, P)."""
        return forward_banks([self], feats)[0]


def forward_banks(banks: Sequence[MultiHead], feats: Tensor) -> list[tuple[Tensor, Tensor]]:
    """All heads of all banks in grouped matrix products: one product a layer instead of one for each head.

    Args:
        banks: with projectors of the same sizes; their numbers K of prototypes may differ.
        feats: (V, B, D).

    Returns:
        for each bank logits (V, H, B, K) and normalised projections (V, H, B, P).
    """
    num_views, batch_size, _ = feats.shape
    projectors = [projector for bank in banks for projector in bank.projectors]  # G heads of all banks
    x = feats.flatten(0, 1).expand(len(projectors), -1, -1)  # (G, V*B, D)
    for layer in zip(*(projector.mlp for projector in projectors), strict=True):  # its G modules
        if isinstance(layer[0], nn.Linear):
            x = group_linear(x, layer)
        elif isinstance(layer[0], HeadBatchNorm1d):
            x = group_batch_norm(x.unflatten(1, (num_views, batch_size)), layer).flatten(1, 2)
        else:
            x = F.relu(x, inplace=True)
    shape = (num_views, batch_size)
    outputs = []
    with torch.autocast(x.device.type, enabled=False):  # cosines / 0.05 need more than 8 bits of mantissa
        x = F.normalize(full(x), dim=-1)
        for bank, projections in zip(banks, x.split([len(bank.projectors) for bank in banks]), strict=True):
            weight = torch.stack([head.prototypes.weight for head in bank.prototypes])  # type: ignore[union-attr, misc]  # (H, K, P)
            logits = projections @ weight.mT.to(x.dtype)  # (H, V*B, K)
            outputs.append(tuple(y.unflatten(1, shape).transpose(0, 1) for y in (logits, projections)))
    return outputs
