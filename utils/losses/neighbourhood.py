"""Neighbourhood contrastive learning (Zhong et al., CVPR 2021, arXiv:2106.10731): neighbours in a memory are positives.

B rows of a batch, D features, M slots of a memory; all vectors have length 1. Column 0 of the logits is a row's other
view, the columns after it are the memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.precision import full


def memory_logits(query: Tensor, key: Tensor, memory: Tensor, temperature: float) -> Tensor:
    """Cosines (B, 1 + M) of a row with its other view and with the memory, over the temperature.

    Args:
        query, key: (B, D), the views.
        memory: (M, D).
        temperature: 0.05 in the published runs.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, memory = full(query), full(key), full(memory)
        return torch.cat([(query * key).sum(dim=1, keepdim=True), query @ memory.mT], dim=1) / temperature


@torch.no_grad()
def class_targets(logits: Tensor, labels: Tensor, memory_labels: Tensor) -> Tensor:
    """Targets (B, 1 + M) of labelled rows: even over the other view and all of the memory that has their label."""
    same = labels[:, None] == memory_labels
    positives = F.pad(same, (1, 0), value=True).to(logits.dtype)
    return positives / positives.sum(dim=1, keepdim=True)


@torch.no_grad()
def neighbour_targets(logits: Tensor, num_neighbours: int, weight_own: float) -> Tensor:
    """Targets (B, 1 + M) of other rows: the other view, and the nearest of all columns.

    As published, the other view's share replaces its share as a neighbour: where it is among the nearest, a row sums
    to less than 1.

    Args:
        logits: (B, 1 + M).
        num_neighbours: those that share 1 - ``weight_own`` evenly; M / (2U) in the published runs.
        weight_own: of the other view (0.2 in the published runs).
    """
    nearest = logits.topk(num_neighbours, dim=1).indices
    targets = torch.zeros_like(logits).scatter_(1, nearest, (1 - weight_own) / num_neighbours)
    targets[:, 0] = weight_own
    return targets


def contrast(logits: Tensor, targets: Tensor, rows: Tensor, negatives: Tensor | None = None) -> Tensor:
    """Cross-entropy with the targets, mean over the rows under a mask; 0 where there are none.

    Args:
        logits: (B, 1 + M).
        targets: (B, 1 + M).
        rows: (B,) boolean.
        negatives: (B, N) logits of further vectors that nobody should be near.
    """
    columns = logits if negatives is None else torch.cat([logits, negatives], dim=1)
    log_p = torch.log_softmax(columns, dim=1)[:, : logits.shape[1]]
    return -((targets * log_p).sum(dim=1) * rows).sum() / rows.sum().clamp(min=1)


def hard_negatives(
    query: Tensor, memory: Tensor, labeled_memory: Tensor, order: Tensor, num_hard: int, temperature: float
) -> Tensor:
    """Logits of mixtures of what is surely another class: far novel rows with labelled ones, the nearest mixtures.

    Args:
        query: (B, D).
        memory: (M, D) of novel rows; the ``far`` least similar of them are mixed.
        labeled_memory: (M', D).
        order: (B, rounds, far) int64, for each row and round the labelled slots to mix with.
        num_hard: mixtures that are kept for each row.
        temperature: of the logits.

    Returns:
        (B, num_hard), with gradient into the query.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, memory, labeled = full(query), full(memory), full(labeled_memory)
        with torch.no_grad():
            far = (query @ memory.mT).topk(order.shape[2], dim=1, largest=False).indices.flip(1)  # farthest last
            novel, known = memory[far][:, None], labeled[order]  # (B, 1, far, D), (B, rounds, far, D)
            mixed = torch.stack([novel + 2 * known, 2 * novel + known], dim=1).flatten(1, 3)
            mixed = F.normalize(mixed, dim=-1)  # (B, 2 * rounds * far, D)
        cosines = torch.einsum("bd,bnd->bn", query, mixed)
        return cosines.topk(num_hard, dim=1).values / temperature
