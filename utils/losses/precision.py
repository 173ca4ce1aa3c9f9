"""float32 where it matters: values and softmax in that precision at least, under autocast too."""

import torch
from torch import Tensor


def full(values: Tensor) -> Tensor:
    """The values in float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def log_softmax(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Logarithm of softmax(logits / temperature) over the last axis, in float32 at least."""
    return torch.log_softmax(full(logits) / temperature, dim=-1)
