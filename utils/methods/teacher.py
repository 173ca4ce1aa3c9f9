"""A frozen copy of a network: outside the optimizer, the checkpoint, and what DDP sends around."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.nets import MultiHeadResNet


class Teacher:
    """Encoder and labelled head of a network as they are now, in evaluation mode.

    No ``nn.Module``: a module that holds one would take it for its own.

    Args:
        model: what is copied.
    """

    def __init__(self, model: MultiHeadResNet) -> None:
        self.encoder, self.head = (copy.deepcopy(part).eval() for part in (model.encoder, model.head_lab))

    def to(self, like: Tensor) -> None:
        """Move it to a tensor's device and data type."""
        self.encoder.to(like)
        self.head.to(like)

    @torch.no_grad()
    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Logits (V, B, L) of V views of one size; or of V features (B, D) that the encoder has given before."""
        flat = torch.cat(list(views))
        feats = flat if flat.dim() == 2 else self.encoder(flat, len(views))
        with torch.autocast(feats.device.type, enabled=False):
            unit = F.normalize(feats.to(self.head.prototypes.weight.dtype), dim=-1)
            return self.head(unit).unflatten(0, (len(views), -1))
