"""Losses on pairs of samples, and the rules that say which pairs are similar.

Their common form is an n x n matrix: entry (i, j) is the ordered pair of rows i and j, i = j included. A boolean mask
(n, n) chooses the pairs that count; without any, a loss is 0. B samples, n rows, K classes, D features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.precision import full

EPSILON = 1e-7  # of the published code, in every logarithm


def pairs_of(rows: Tensor) -> Tensor:
    """Mask (n, n) of the pairs whose rows are both under a mask (n,)."""
    return rows[:, None] & rows


def mean_over_pairs(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (n, n) values over the pairs under the mask; 0 where there are none."""
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)


# Which pairs are similar


@torch.no_grad()
def rank_statistics(features: Tensor, topk: int) -> Tensor:
    """Pairs whose ``topk`` largest features are the same set (AutoNovel, Han et al., ICLR 2020, arXiv:2002.05714).

    Args:
        features: (n, D).
        topk: 1 <= topk <= D (5 in the published runs).

    Returns:
        (n, n) boolean, symmetric, True on the diagonal.
    """
    largest = torch.zeros_like(features, dtype=torch.float32).scatter_(1, features.topk(topk, dim=1).indices, 1.0)
    return _matches(largest) == topk


@torch.no_grad()
def cosine_pairs(features: Tensor, threshold: float) -> Tensor:
    """Pairs whose cosine is above a threshold (NCL, Zhong et al., CVPR 2021, arXiv:2106.10731: 0.95).

    Args:
        features: (n, D), of any length.
        threshold: -1 to 1.

    Returns:
        (n, n) boolean.
    """
    with torch.autocast(features.device.type, enabled=False):
        unit = F.normalize(full(features), dim=1)
        return unit @ unit.mT > threshold


@torch.no_grad()
def winner_take_all(features: Tensor, subsets: Tensor, threshold: float) -> Tensor:
    """Pairs whose winner-take-all codes agree often enough (Joint, Jia et al., ICCV 2021, arXiv:2104.12673).

    A code says which of a few channels is the largest, so that it does not change under increasing maps of all
    features.

    Args:
        features: (n, D).
        subsets: (codes, k) channels that each code compares: the first k of a random permutation.
        threshold: number of codes that have to agree.

    Returns:
        (n, n) boolean.
    """
    winners = features[:, subsets].argmax(dim=-1)  # (n, codes)
    codes = F.one_hot(winners, subsets.shape[1]).flatten(1).float()
    return _matches(codes) >= threshold


def _matches(codes: Tensor) -> Tensor:
    """Numbers (n, n) of ones that rows of zeros and ones share; exact, as sums of ones are in float32."""
    with torch.autocast(codes.device.type, enabled=False):
        return codes @ codes.mT


# Losses


def pair_bce(p: Tensor, q: Tensor, similar: Tensor, mask: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of the probability that both samples of a pair are of one class.

    Args:
        p: (n, K) distributions of the first view; the pair (i, j) takes row j of them.
        q: (n, K) distributions of the second view; the pair (i, j) takes row i of them.
        similar: (n, n) boolean.
        mask: (n, n) boolean, the pairs that count; None: all.

    Returns:
        Scalar >= 0, mean over pairs.
    """
    return mean_over_pairs(_negative_log_likelihood(p, q, similar, ~similar), mask)


def mcl(prob: Tensor, similarity: Tensor, mask: Tensor | None = None) -> Tensor:
    """Meta classification likelihood (Hsu et al., ICLR 2019, arXiv:1901.00544): ``pair_bce`` of one view.

    Args:
        prob: (n, K) distributions.
        similarity: (n, n), 1 similar, -1 not, 0 unknown; an unknown pair costs a constant, as in the published code.
        mask: (n, n) boolean, the pairs that count; None: all.

    Returns:
        Scalar >= 0, mean over pairs.
    """
    return mean_over_pairs(_negative_log_likelihood(prob, prob, similarity == 1, similarity == -1), mask)


def _negative_log_likelihood(p: Tensor, q: Tensor, similar: Tensor, different: Tensor) -> Tensor:
    with torch.autocast(p.device.type, enabled=False):
        same = full(q) @ full(p).mT  # (n, n)
    return -(same * similar + (1 - same) * different + EPSILON).log()


def kcl(prob: Tensor, similarity: Tensor, margin: float, mask: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence based contrastive loss (Hsu et al., ICLR 2018, arXiv:1711.10125).

    Args:
        prob: (n, K) distributions; in the pair (i, j) row i, without gradient, is compared with row j.
        similarity: (n, n): 1 pulls together, -1 pushes apart up to the margin, 0 does both, as in the published code.
        margin: of the divergence in nats (2 in the published runs).
        mask: (n, n) boolean, the pairs that count; None: all.

    Returns:
        Scalar >= 0, mean over pairs.
    """
    prob = full(prob) + EPSILON
    log_p, target = prob.log(), prob.detach()
    with torch.autocast(prob.device.type, enabled=False):
        divergence = (target * target.log()).sum(dim=1, keepdim=True) - target @ log_p.mT  # (n, n)
    pull = divergence * (similarity != -1)
    push = (margin - divergence).clamp(min=0) * (similarity != 1)
    return mean_over_pairs(pull + push, mask)
