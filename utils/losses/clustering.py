"""Deep transfer clustering (Han et al., ICCV 2019, arXiv:1908.09884): soft clusters that sharpen themselves.

N rows of all training images, B rows of a batch, K clusters, D dimensions.
"""

import torch
from torch import Tensor

from utils.losses.precision import full
from utils.losses.semi_supervised import mean_over_rows


def student_t(features: Tensor, centers: Tensor, degrees: float = 1.0) -> Tensor:
    """Soft assignments by Student's t-distribution around the centres (DEC, arXiv:1511.06335, eq. 1).

    Args:
        features: (N, D).
        centers: (K, D).
        degrees: of freedom.

    Returns:
        (N, K) distributions in float32 at least.
    """
    squared = (full(features)[:, None] - full(centers)).square().sum(dim=-1)  # (N, K), exact also where it is small
    log_q = -(degrees + 1) / 2 * torch.log1p(squared / degrees)
    return torch.softmax(log_q, dim=1)


@torch.no_grad()
def target_distribution(probs: Tensor) -> Tensor:
    """Sharper assignments, with clusters made even (DEC, eq. 3): q squared over the cluster's mass, rows normalised.

    Args:
        probs: (N, K) distributions of *all* rows.

    Returns:
        (N, K) distributions.
    """
    weights = probs.square() / probs.sum(dim=0).clamp(min=torch.finfo(probs.dtype).tiny)
    return weights / weights.sum(dim=1, keepdim=True)


def sharpening(probs: Tensor, targets: Tensor, rows: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence from the assignments to their targets, divided by K as in the published code.

    Args:
        probs: (B, K) distributions above 0.
        targets: (B, K) distributions, without gradient.
        rows: (B,) boolean, those that count; None: all.

    Returns:
        Scalar >= 0, mean over rows *and columns*; 0 where there are none.
    """
    return mean_over_rows(torch.xlogy(targets, targets) - targets * probs.log(), rows)


@torch.no_grad()
def temporal_ensemble(total: Tensor, probs: Tensor, epoch: int, decay: float) -> tuple[Tensor, Tensor]:
    """Assignments averaged over the epochs, recent ones more (Laine & Aila, arXiv:1610.02242).

    Args:
        total: (N, K), what this returned for the epoch before; zeros before epoch 0.
        probs: (N, K) distributions of this epoch.
        epoch: from 0.
        decay: of a past epoch's share (0.6 in the published runs).

    Returns:
        the new total, and the ensemble: distributions again.
    """
    total = decay * total + (1 - decay) * probs
    return total, total / (1 - decay ** (epoch + 1))
