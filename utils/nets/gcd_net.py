"""The network of SimGCD (Wen et al., ICCV 2023, arXiv:2211.11727): an encoder, one cosine head for all classes, and a
projector for the contrastive terms.

V views, B samples a view, D features, P projected features, L known and U novel classes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.losses.precision import full


class GCDNet(nn.Module):
    """Encoder, L+U prototypes on its features, and beside them a projector.

    Logits are cosines: prototypes are normalised in the forward pass, with the gradients of the published weight
    normalisation, whose length is fixed at 1.

    Args:
        encoder: called as ``encoder(images, num_views)``, and has ``num_features``.
        num_labeled: L.
        num_unlabeled: U.
        hidden_dim, proj_dim: of the projector.
        num_mlp_layers: of the projector, with GELU between; 0 leaves it out.
        standardize: whether features are standardised before the head by ``feature_mean`` and ``feature_std``, which
            :meth:`standardize_by` sets.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        num_labeled: int,
        num_unlabeled: int,
        hidden_dim: int = 2048,
        proj_dim: int = 256,
        num_mlp_layers: int = 3,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        features: Any = self.encoder.num_features
        self.num_labeled, self.standardize = num_labeled, standardize
        self.prototypes = nn.Linear(features, num_labeled + num_unlabeled, bias=False)
        self.projector = _projector(features, hidden_dim, proj_dim, num_mlp_layers) if num_mlp_layers else None
        if standardize:
            self.register_buffer("feature_mean", torch.zeros(features))
            self.register_buffer("feature_std", torch.ones(features))
        self.to(memory_format=torch.channels_last)

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Features and logits.

        Args:
            views: V images (B, 3, h, w) of one size, or features (B, D) in their place; or one such tensor.

        Returns:
            ``feats`` (V, B, D), ``logits`` (V, B, L+U), of these ``logits_lab`` (V, B, L) and, as the only head,
            ``logits_unlab`` (V, 1, B, U); with a projector ``projections`` (V, B, P). Without the leading V for one
            tensor.
        """
        if isinstance(views, Tensor):
            return {name: value[0] for name, value in self.forward([views]).items()}
        feats = self.encode(views)
        seen = self._standardized(feats)
        logits = self._cosines(seen)
        outputs = {
            "feats": feats,
            "logits": logits,
            "logits_lab": logits[..., : self.num_labeled],
            "logits_unlab": logits[..., self.num_labeled :].unsqueeze(1),
        }
        return outputs if self.projector is None else outputs | {"projections": self.projector(seen)}

    def encode(self, views: Sequence[Tensor]) -> Tensor:
        """Features (V, B, D) of V views of one size; those of two dimensions are features already."""
        if views[0].ndim == 2:
            return torch.stack(list(views))
        return self.encoder(torch.cat(list(views)), len(views)).unflatten(0, (len(views), -1))

    def keep_head(self, head: int) -> "GCDNet":
        """There is one head."""
        return self

    def _standardized(self, feats: Tensor) -> Tensor:
        return (feats - self.feature_mean) / self.feature_std if self.standardize else feats

    def _cosines(self, feats: Tensor) -> Tensor:
        with torch.autocast(feats.device.type, enabled=False):  # cosines / 0.04 need the mantissa of float32
            feats = full(feats)
            weight = F.normalize(self.prototypes.weight.to(feats.dtype), dim=1)
            return F.normalize(feats, dim=-1) @ weight.T

    def prototype_lengths(self, head: int) -> Tensor:
        """Lengths (L+U,) of the prototypes behind the logits: 1."""
        return torch.ones(len(self.prototypes.weight), device=self.prototypes.weight.device)

    @torch.no_grad()
    def standardize_by(self, feats: Tensor) -> None:
        """Take mean and standard deviation from features (N, D); a feature that never changes keeps its scale."""
        deviation = feats.std(dim=0, unbiased=False)
        self.feature_mean.copy_(feats.mean(dim=0))
        self.feature_std.copy_(torch.where(deviation > 1e-6, deviation, 1.0))


def _projector(features: int, hidden_dim: int, proj_dim: int, num_layers: int) -> nn.Sequential:
    """Linear layers with GELU between, initialised as DINO's head is."""
    sizes = [features, *[hidden_dim] * (num_layers - 1), proj_dim]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.GELU()]
    return nn.Sequential(*layers[:-1])
