"""Mixed images and mixed targets, after OpenMix (Zhong et al., CVPR 2021, arXiv:2004.05551). B rows, K classes."""

import torch
from torch import Tensor

from utils.losses.precision import log_softmax


def choose(first: Tensor, second: Tensor, generator: torch.Generator) -> Tensor:
    """A partner for every row: for half of the rows a random one under one mask, for the others under the other.

    Args:
        first, second: (B,) boolean; where nothing is under a mask, any row is taken.
        generator: on the masks' device.

    Returns:
        (B,) int64.
    """
    count, device = len(first), first.device
    kind = torch.rand(count, 1, generator=generator, device=device) < 0.5
    wanted = torch.where(kind, first, second)  # (B, B)
    return (torch.rand(count, count, generator=generator, device=device) + wanted).argmax(dim=1)


def mix(values: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """``share * partner + (1 - share) * own`` for every row of (B, …)."""
    shares = shares.view(-1, *[1] * (values.dim() - 1)).to(values.dtype)
    return shares * values.index_select(0, partners) + (1 - shares) * values


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross-entropy (scalar) with distributions (B, K), mean over rows."""
    return -(targets * log_softmax(logits, temperature)).sum(dim=1).mean()
