"""Supervised contrastive loss (Khosla et al., arXiv:2004.11362, eq. 2, L_out), for batches that are labelled in part.

B samples, two views of each, P dimensions of a projection.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.precision import full


def sup_con(projections: Tensor, labels: Tensor, mask_lab: Tensor, temperature: float) -> Tensor:
    """Every view of a labelled sample has to find the other views of its class among those of all labelled samples.

    Args:
        projections: (2B, P), view after view: rows i and B + i are one sample. Of any length, not all zero.
        labels: (B,) integers; only those under the mask have an influence.
        mask_lab: (B,) boolean, True where the sample is labelled.
        temperature: of the softmax over a row's labelled others (0.07 in SimGCD).

    Returns:
        Scalar >= 0: minus log softmax, mean over a row's positives, then over the labelled rows; 0 where there are
        none.
    """
    rows = mask_lab.repeat(2)
    return _contrast(projections, _same_class(labels, mask_lab), rows, temperature)


def joint_contrast(projections: Tensor, labels: Tensor, mask_lab: Tensor, temperature: float) -> Tensor:
    """The same for all samples together: one that is not labelled has its other view alone to find.

    Noise-contrastive estimation of Joint (Jia et al., ICCV 2021, arXiv:2104.12673); ``nt_xent`` where nothing is
    labelled. Arguments are those of :func:`sup_con`; mean over all 2B rows.
    """
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device).repeat(2, 2)
    return _contrast(projections, _same_class(labels, mask_lab) | own, torch.ones_like(own[0]), temperature)


def _same_class(labels: Tensor, mask_lab: Tensor) -> Tensor:
    """(2B, 2B): both rows are labelled, and of one class."""
    return ((labels[:, None] == labels) & mask_lab[:, None] & mask_lab).repeat(2, 2)


def _contrast(projections: Tensor, positives: Tensor, rows: Tensor, temperature: float) -> Tensor:
    """Minus log softmax over the other rows under a mask: mean over a row's positives, then over those rows."""
    others = rows & ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)  # (2B, 2B)
    with torch.autocast(projections.device.type, enabled=False):
        vectors = F.normalize(full(projections), dim=1)
        logits = vectors @ vectors.mT / temperature
        log_p = torch.log_softmax(logits.masked_fill(~others, torch.finfo(logits.dtype).min), dim=1)
    weights = (positives & others).to(log_p.dtype)
    losses = -(weights * log_p).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return losses.sum() / rows.sum().clamp(min=1)
