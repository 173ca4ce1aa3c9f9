"""Supervised contrastive loss (Khosla et al., arXiv:2004.11362, eq. 2, L_out), for batches that are labelled in part.

B samples, two views of each, P dimensions of a projection.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    lab = mask_lab.repeat(2)
    classes = labels.repeat(2)
    others = lab.logical_and(~torch.eye(len(lab), dtype=torch.bool, device=lab.device))  # (2B, 2B)
    full = torch.promote_types(projections.dtype, torch.float32)
    with torch.autocast(projections.device.type, enabled=False):
        vectors = F.normalize(projections.to(full), dim=1)
        logits = vectors @ vectors.mT / temperature
        log_p = torch.log_softmax(logits.masked_fill(~others, torch.finfo(full).min), dim=1)
    positives = (others & lab[:, None] & (classes[:, None] == classes)).to(full)
    rows = -(positives * log_p).sum(dim=1) / positives.sum(dim=1).clamp(min=1)
    return rows.sum() / lab.sum().clamp(min=1)
