"""Are two images of one class? A network on pairs of features (Hsu et al., arXiv:1711.10125). n rows, D features."""

from typing import Any

import torch
from torch import Tensor, nn


class SimilarityNet(nn.Module):
    """Linear(2D, 4D), BatchNorm, ReLU, Linear(4D, 2) on all ordered pairs; parameter names are the published ones.

    The first layer is a sum of what either row gives, so that it is computed for n rows and not for n * n pairs.
    BatchNorm always has the statistics of the pairs at hand, as in the published code.

    Args:
        num_features: D.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        hidden = 4 * num_features
        norm = nn.BatchNorm1d(hidden, track_running_stats=False)
        self.last: Any = nn.Sequential(nn.Linear(2 * num_features, hidden), norm, nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, n, 2): 1 is "of one class"; the pair (i, j) is [row j, row i].

        Args:
            features: (n, D).
            mask: (n, n) boolean, the pairs whose statistics count.
        """
        first, norm, relu, last = self.last
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(first.weight.dtype)
            one, other = (features @ part.mT for part in first.weight.chunk(2, dim=1))  # of row j and of row i
            hidden = other[:, None] + one + first.bias  # (n, n, 4D)
            weights = mask[..., None].to(hidden.dtype) / mask.sum().clamp(min=1)
            mean = (hidden * weights).sum(dim=(0, 1))
            variance = ((hidden - mean).square() * weights).sum(dim=(0, 1))
            hidden = (hidden - mean) * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias
            return last(relu(hidden))
