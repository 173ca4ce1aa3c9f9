"""Predictions that teach predictions: SimGCD's self-distillation (Wen et al., ICCV 2023, arXiv:2211.11727), and rKD's
teacher for the known classes (Gu et al., ICCV 2023, arXiv:2307.09158).

B samples, views one after the other, K classes; V views, H heads, L labelled and U unlabelled classes.
"""

import math

import torch
from torch import Tensor

from utils.losses.constraints import Reduce, alone
from utils.losses.precision import log_softmax


def self_distillation(logits: Tensor, student_temperature: float, teacher_temperature: float | Tensor) -> Tensor:
    """Cross-entropy of each view's prediction with the sharper prediction of the other view, which has no gradient.

    Args:
        logits: (2B, K), view after view: rows i and B + i are one sample.
        student_temperature: of the predictions (0.1 in SimGCD).
        teacher_temperature: of the targets (from 0.07 to 0.04 in SimGCD); as a scalar tensor it may change in a
            compiled step.

    Returns:
        Scalar, mean over both views and all samples.
    """
    targets = log_softmax(logits.detach(), teacher_temperature).exp().roll(len(logits) // 2, dims=0)
    return -(targets * log_softmax(logits, student_temperature)).sum(dim=1).mean()


def mean_entropy(logits: Tensor, temperature: float) -> Tensor:
    """Entropy of the mean prediction: small where a few classes take all samples.

    SimGCD maximises it: its penalty is log K less this.

    Args:
        logits: (N, K), the rows of all views.
        temperature: of the softmax.

    Returns:
        Scalar from 0 to log K, in nats.
    """
    log_mean = torch.logsumexp(log_softmax(logits, temperature), dim=0) - math.log(len(logits))
    return -(log_mean.exp() * log_mean).sum()


def relation_distillation(
    logits: Tensor, teacher_logits: Tensor, mask_lab: Tensor, temperature: float, reduce: Reduce = alone
) -> Tensor:
    """Novel samples keep their relation to the known classes: the teacher's prediction over those is learned (rKD).

    A row weighs by the student's probability that it is of a known class, divided by the mean of that over rows, heads
    and views; the weight has a gradient, as published, so novel prototypes learn from it.

    Args:
        logits: (V, H, B, L+U) of the student's large views.
        teacher_logits: (V, B, L), without gradient.
        mask_lab: (B,) boolean, True where the sample is labelled: it takes no part.
        temperature: of every softmax here: 4 times that of the other terms in the published runs.
        reduce: sums a tensor over processes.

    Returns:
        (H,): cross-entropy, mean over views and unlabelled rows; 0 where there are none. Its factor T**2 is the
        caller's.
    """
    num_labeled = teacher_logits.shape[-1]
    targets = log_softmax(teacher_logits.detach(), temperature).exp().unsqueeze(1)  # (V, 1, B, L)
    errors = -(targets * log_softmax(logits[..., :num_labeled], temperature)).sum(dim=-1)  # (V, H, B)
    known = log_softmax(logits, temperature)[..., :num_labeled].exp().sum(dim=-1)
    rows = (~mask_lab).to(errors.dtype)
    sums = torch.stack([(known * errors * rows).sum(dim=(0, 2)), (known * rows).sum(dim=(0, 2))])  # (2, H)
    total = reduce(torch.cat([sums.flatten(), rows.sum()[None]]))
    weighted, weights = total[:-1].view_as(sums)
    num_views, num_heads = logits.shape[:2]
    count = (num_views * total[-1]).clamp(min=1)
    mean_weight = weights.sum() / (num_heads * count)
    has_rows = (total[-1] > 0).to(errors.dtype)
    return weighted / count / (mean_weight + (1 - has_rows)) * has_rows
