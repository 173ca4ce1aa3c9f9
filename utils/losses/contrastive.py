"""Contrastive disentangling and SimCLR: pure functions of two views' projections and features.

B samples, D dimensions of a projection, K features. Everything is computed in float32 at least.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.precision import full


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (SimCLR, arXiv:2002.05709, eq. 1): each row has to find its partner.

    A row's own similarity is set to minus infinity on the diagonal, so that no index masks are needed and the shapes
    are static.

    Args:
        first, second: (N, D) vectors, row i of one is the partner of row i of the other; any length, not all zero.
        temperature: of the softmax over the 2N - 1 other vectors.

    Returns:
        Scalar >= 0, mean over the 2N rows.
    """
    with torch.autocast(first.device.type, enabled=False):
        vectors = F.normalize(full(torch.cat([first, second])), dim=1)  # (2N, D)
        logits = vectors @ vectors.mT / temperature  # (2N, 2N)
        logits = logits.fill_diagonal_(-torch.inf)
        partners = torch.arange(2 * len(first), device=first.device).roll(len(first))
        return F.cross_entropy(logits, partners)


def instance_loss(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent between the views of each image: all of SimCLR, and the instance level of contrastive disentangling.

    Args:
        z1, z2: (B, D) projections of the two views; they need not be normalised.
        temperature: of the softmax (0.5 in the published runs).

    Returns:
        Scalar >= 0; log(2B - 1) when all projections are equal.
    """
    return nt_xent(z1, z2, temperature)


def feature_loss(f1: Tensor, f2: Tensor, temperature: float) -> Tensor:
    """NT-Xent between the views of each *feature*, minus the features' normalised entropy.

    A feature is described by its values on the whole batch, a column of ``f``: it has to be the same for both views of
    the images and differ from all other features. The entropy keeps features from being on, or off, for every image.

    Args:
        f1, f2: (B, K) feature predictions of the two views, in [0, 1].
        temperature: of the softmax (1.0 in the published runs).

    Returns:
        Scalar.
    """
    return nt_xent(f1.mT, f2.mT, temperature) - (normalized_entropy(f1) + normalized_entropy(f2)) / 2


def normalized_entropy(f: Tensor) -> Tensor:
    """Mean entropy, in bits, of features taken as probabilities of being on.

    Args:
        f: features of any shape, in [0, 1].

    Returns:
        Scalar in [0, 1]: 1 where all are 0.5, 0 where all are 0 or 1.
    """
    p = full(f)
    tiny = torch.finfo(p.dtype).tiny  # a sigmoid that has saturated, as in bfloat16, keeps a finite gradient
    bits = p * p.clamp(min=tiny).log() + (1 - p) * (1 - p).clamp(min=tiny).log()
    return -bits.mean() / math.log(2)
