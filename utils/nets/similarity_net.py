"""Are two images of one class? A network on pairs of features (Hsu et al., arXiv:1711.10125). n rows, D features."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 2**20  # hidden numbers of pairs held at a time, 4 MiB in float32; on a GPU, whose launches cost time, 64 times


class SimilarityNet(nn.Module):
    """Linear(2D, 4D), BatchNorm, ReLU, Linear(4D, 2) on all ordered pairs; parameter names are the published ones.

    The first layer is a sum of what either row gives, so that it is computed for n rows and not for n * n pairs.
    BatchNorm always has the statistics of the pairs at hand, as in the published code. All pairs of some rows have as
    mean and variance the sums of what these are for the one row and for the other, so that rows are normalised. The
    hidden layer of all pairs, n * n * 4D numbers, is never held whole: chunks of it are computed, and once more
    where their gradient is needed. On a CPU only the pairs of the rows that are asked for are computed; to count
    these rows, a GPU would have to be waited for.

    Args:
        num_features: D.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        hidden = 4 * num_features
        norm, relu = nn.BatchNorm1d(hidden, track_running_stats=False), nn.ReLU(inplace=True)
        self.last: Any = nn.Sequential(nn.Linear(2 * num_features, hidden), norm, relu, nn.Linear(hidden, 2))

    def forward(self, features: Tensor, rows: Tensor) -> Tensor:
        """Logits (n, n, 2): 1 is "of one class"; the pair (i, j) is [row j, row i]. Those of other rows mean nothing.

        Args:
            features: (n, D).
            rows: (n,) boolean, those whose pairs are asked for and give the statistics.
        """
        if not features.is_cpu:
            return self.of_all(features, rows)
        of_rows = self.of_all(features[rows], rows[rows])
        return of_rows.new_zeros(len(rows), len(rows), 2).masked_scatter((rows[:, None] & rows)[..., None], of_rows)

    def of_all(self, features: Tensor, rows: Tensor) -> Tensor:
        """As called, with the pairs of all rows, whichever give the statistics: its shapes do not depend on them."""
        first, norm, relu, last = self.last
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(first.weight.dtype)
            halves = features @ first.weight.unflatten(1, (2, -1)).movedim(1, 0).mT  # (2, n, 4D): of row j, of row i
            halves = halves + first.bias  # which the means take out again
            weights = rows[:, None].to(halves.dtype) / rows.sum().clamp(min=1)
            centred = halves - (halves * weights).sum(dim=1, keepdim=True)
            variance = (centred.square() * weights).sum(dim=(0, 1))
            one, other = centred * (torch.rsqrt(variance + norm.eps) * norm.weight)
            one = one + norm.bias

            def score(chunk: Tensor) -> Tensor:
                return last(relu(chunk[:, None] + one))

            held = CHUNK if one.is_cpu else 64 * CHUNK
            chunks = other.split(max(1, held // max(1, one.numel())))
            return torch.cat(
                [checkpoint(score, chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
            )
