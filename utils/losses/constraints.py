"""Inter-class and intra-class constraints (IIC, arXiv:2210.03591): pure functions of logits and the labelled mask.

A new constraint ``k`` is a function here, its test, and a main with ``--factor_k``; it is logged as ``k_loss``.

V views, H heads, B samples, L labelled and U unlabelled classes. Masks are multiplied in, so that shapes are static;
a batch without labelled or without unlabelled rows gives 0 for the terms that need them.

Every function takes ``reduce``, which sums a tensor over processes (``utils.distributed.sum_over_processes``): means
are then global sums over global counts, and the value is that of the batch of all processes. It is called once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.losses.precision import log_softmax

Distance = Callable[[Tensor, Tensor], Tensor]
Reduce = Callable[[Tensor], Tensor]


def alone(values: Tensor) -> Tensor:
    """The sum over processes where there is one, or where each minds its own batch."""
    return values


def inter_class_skld(logits: Tensor, mask_lab: Tensor, temperature: float, reduce: Reduce = alone) -> Tensor:
    """Minus the mean symmetric KL divergence between labelled and unlabelled samples: known and novel are pushed apart.

    The mean over all (labelled i, unlabelled j) pairs of KL(p_i || q_j) is mean_i p_i . log p_i - mean p . mean log q,
    so no B x B matrix is needed.

    Args:
        logits: (V, H, B, L+U).
        mask_lab: (B,) boolean, True where the sample is labelled.
        temperature: of the softmax over all L+U classes.

    Returns:
        Scalar <= 0: mean over views, heads and pairs; 0 where there are no pairs.
    """
    log_p = log_softmax(logits, temperature)
    p = log_p.exp()
    lab = mask_lab.to(p.dtype)[:, None]  # (B, 1)
    neg_entropy = (p * log_p).sum(dim=-1, keepdim=True)
    values = torch.cat([p, log_p, neg_entropy], dim=-1)  # (V, H, B, 2(L+U) + 1)
    sums = torch.stack([(values * mask).sum(dim=2) for mask in (lab, 1 - lab)])  # (2, V, H, 2(L+U) + 1)
    counts = torch.stack([lab.sum(), (1 - lab).sum()])
    together = reduce(torch.cat([sums.flatten(), counts]))
    sums, counts = together[:-2].view_as(sums), together[-2:]
    means = sums / counts.clamp(min=1).view(2, 1, 1, 1)
    (p_lab, log_p_lab, own_lab), (p_unlab, log_p_unlab, own_unlab) = (
        kind.split([p.shape[-1], p.shape[-1], 1], dim=-1) for kind in means
    )
    cross = (p_lab * log_p_unlab + p_unlab * log_p_lab).sum(dim=-1)
    skld = (own_lab.squeeze(-1) + own_unlab.squeeze(-1) - cross) / 2  # (V, H)
    has_pairs = (counts.prod() > 0).to(p.dtype)
    return -skld.mean() * has_pairs


def intra_class_skld(
    logits: Tensor, mask_lab: Tensor, num_labeled: int, temperature: float, reduce: Reduce = alone
) -> Tensor:
    """Symmetric KL divergence between the views of the same sample: its predictions are pulled together.

    Args:
        logits: (V, H, B, L+U), V >= 2.
        mask_lab: (B,) boolean, True where the sample is labelled.
        num_labeled: L. Labelled rows are softmaxed over the first L columns, the others over the last U.
        temperature: of the softmax.

    Returns:
        Scalar >= 0: for either kind of row the mean over pairs of views, heads, rows and columns; then their sum.
    """

    def skld(log_p: Tensor, log_q: Tensor) -> Tensor:
        return (log_p.exp() - log_q.exp()) * (log_p - log_q) / 2

    return _between_views(logits, mask_lab, num_labeled, temperature, skld, reduce)


def mse_consistency(
    logits: Tensor, mask_lab: Tensor, num_labeled: int, temperature: float, reduce: Reduce = alone
) -> Tensor:
    """Mean squared difference between the views' probabilities: the ablation of the intra-class divergence.

    Arguments and averaging are those of :func:`intra_class_skld`.
    """

    def squared_error(log_p: Tensor, log_q: Tensor) -> Tensor:
        return (log_p.exp() - log_q.exp()).square()

    return _between_views(logits, mask_lab, num_labeled, temperature, squared_error, reduce)


def _between_views(
    logits: Tensor, mask_lab: Tensor, num_labeled: int, temperature: float, distance: Distance, reduce: Reduce
) -> Tensor:
    """Mean of ``distance(log_p, log_q)`` over pairs of views, heads, rows and columns; labelled plus unlabelled."""
    first, second = torch.triu_indices(len(logits), len(logits), offset=1, device=logits.device)
    lab = mask_lab.to(torch.promote_types(logits.dtype, torch.float32))[:, None]  # (B, 1)
    sums, counts = [], []
    for columns, rows in ((logits[..., :num_labeled], lab), (logits[..., num_labeled:], 1 - lab)):
        log_p = log_softmax(columns, temperature)
        pair = log_p.index_select(0, first), log_p.index_select(0, second)  # its gradient is one kernel, no sorting
        distances = distance(*pair) * rows  # (V(V-1)/2, H, B, C)
        pairs, heads, _, num_columns = distances.shape
        sums.append(distances.sum() / (pairs * heads * num_columns))
        counts.append(rows.sum())
    sums_lab, sums_unlab, num_lab, num_unlab = reduce(torch.stack([*sums, *counts])).unbind()
    return sums_lab / num_lab.clamp(min=1) + sums_unlab / num_unlab.clamp(min=1)
