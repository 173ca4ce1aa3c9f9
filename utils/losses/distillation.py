"""Predictions that teach predictions: SimGCD's self-distillation (Wen et al., ICCV 2023, arXiv:2211.11727).

B samples, two views of each, K classes.
"""

import math

import torch
from torch import Tensor

from utils.losses.swapped import log_softmax


def self_distillation(logits: Tensor, student_temperature: float, teacher_temperature: float) -> Tensor:
    """Cross-entropy of each view's prediction with the sharper prediction of the other view, which has no gradient.

    Args:
        logits: (2B, K), view after view: rows i and B + i are one sample.
        student_temperature: of the predictions (0.1 in SimGCD).
        teacher_temperature: of the targets (from 0.07 to 0.04 in SimGCD).

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
