"""ComEx (Yang et al., CVPR 2022): experts for classes and for batches, and targets that neighbours in a memory share.

V views, H heads, B rows of a batch, Q slots of a memory, P projected features, K columns.
"""

import torch
from torch import Tensor


def sharpen(distributions: Tensor, temperature: float) -> Tensor:
    """Distributions to the power of 1 / temperature, normalised again; rows of zeros stay zeros."""
    powers = distributions ** (1 / temperature)
    return powers / powers.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(powers.dtype).tiny)


def neighbours_targets(
    projections: Tensor, targets: Tensor, memory: Tensor, memory_targets: Tensor, share: float, temperature: float
) -> Tensor:
    """Targets mixed with those of the neighbours in a memory.

    Args:
        projections: (…, B, P) of length 1; as published, the gradient of the targets goes into them.
        targets: (…, B, K).
        memory: (…, Q, P) of length 1.
        memory_targets: (…, Q, K); what is below 0 anywhere: the memory is not full, and targets stay as they are.
        share: of a row's own target (0.5 in the published runs).
        temperature: of the softmax over the memory.

    Returns:
        (…, B, K), not sharpened.
    """
    with torch.autocast(projections.device.type, enabled=False):
        weights = torch.softmax(projections @ memory.to(projections.dtype).mT / temperature, dim=-1)  # (…, B, Q)
        mixed = share * targets + (1 - share) * weights @ memory_targets.to(targets.dtype)
    return torch.where((memory_targets >= 0).all(), mixed, targets)


def masked_norm(values: Tensor, mask: Tensor) -> Tensor:
    """Frobenius norm of the rows under a mask (B, 1), over all dimensions; 0, with gradient 0, where there are none."""
    squares = (values.square() * mask).sum()
    some = squares > 0
    return torch.where(some, squares, 1.0).sqrt() * some
