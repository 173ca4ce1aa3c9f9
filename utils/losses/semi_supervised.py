"""What the earlier methods add to their main loss: cross-entropy of labelled rows, agreement of views, its ramp.

B samples, K classes.
"""

import math

import torch
from torch import Tensor

from utils.losses.precision import log_softmax


def rampup(epoch: float, length: float) -> float:
    """Weight that rises from exp(-5) to 1 (Laine & Aila, arXiv:1610.02242).

    Args:
        epoch: >= 0.
        length: epochs until it is 1; 0: it is 1 at once.

    >>> [round(rampup(epoch, 10), 3) for epoch in (0, 5, 10, 20)]
    [0.007, 0.287, 1.0, 1.0]
    """
    missing = 1 - min(epoch, length) / length if length else 0.0
    return math.exp(-5 * missing**2)


def labeled_cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy, mean over the rows under a mask; 0 where there are none.

    Args:
        logits: (B, K).
        labels: (B,) integers; only those under the mask have an influence, they are in 0..K-1.
        mask: (B,) boolean.
        temperature: of the softmax.
    """
    log_p = log_softmax(logits, temperature)
    one_hot = labels[:, None] == torch.arange(logits.shape[1], device=labels.device)
    return -(log_p * (one_hot & mask[:, None])).sum() / mask.sum().clamp(min=1)


def consistency(first: Tensor, second: Tensor, rows: Tensor | None = None) -> Tensor:
    """Mean squared difference of two views' distributions, gradient into both.

    Args:
        first, second: (B, K) distributions.
        rows: (B,) boolean, those that count; None: all.

    Returns:
        Scalar >= 0, mean over rows and columns; 0 where there are none.
    """
    return mean_over_rows((first - second).square(), rows)


def mean_over_rows(values: Tensor, rows: Tensor | None) -> Tensor:
    """Mean of (B, K) values over columns and the rows under a mask (B,), or all; 0 where there are none."""
    if rows is None:
        return values.mean()
    return (values * rows[:, None]).sum() / (rows.sum() * values.shape[1]).clamp(min=1)
