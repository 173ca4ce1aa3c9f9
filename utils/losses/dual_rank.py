"""Dual ranking statistics and mutual knowledge distillation (Zhao & Han, NeurIPS 2021, arXiv:2107.03358).

n rows, D features, K slots of a memory, W words.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.neighbourhood import memory_logits
from utils.losses.precision import full


def inner_pixels(maps: Tensor) -> Tensor:
    """Maps (n, D, h, w) without their border, which sees mostly padding; as they are where there is nothing inside."""
    return maps[:, :, 1:-1, 1:-1] if min(maps.shape[2:]) > 2 else maps


@torch.no_grad()
def word_distances(maps: Tensor, words: Tensor) -> Tensor:
    """Squared distances (n, P, W) of the inner pixels of feature maps from a dictionary's words.

    Args:
        maps: (n, D, h, w).
        words: (W, D).
    """
    pixels = inner_pixels(full(maps)).flatten(2).mT  # (n, P, D)
    with torch.autocast(maps.device.type, enabled=False):
        words = full(words)
        squares = pixels.square().sum(dim=-1, keepdim=True) + words.square().sum(dim=-1)
        return (squares - 2 * pixels @ words.mT).clamp(min=0)


@torch.no_grad()
def bag_of_words(distances: Tensor, scale: Tensor, sharpness: float) -> Tensor:
    """Soft bags of words (n, W): which words the pixels of an image are near.

    Args:
        distances: (n, P, W), squared.
        scale: scalar, the running mean of the distance to the nearest word.
        sharpness: of the softmax over words (15 in the published runs).
    """
    return torch.softmax(-sharpness / scale * distances, dim=-1).mean(dim=1)


def mutual_loss(
    views: tuple[Tensor, Tensor],
    other_views: tuple[Tensor, Tensor],
    memories: tuple[Tensor, Tensor],
    rows: Tensor,
    temperature: float,
) -> Tensor:
    """Two branches tell each other which rows of the memory a sample is like.

    Args:
        views, other_views: features (n, D) of both branches, of the first and of the second view.
        memories: (K, D) of both branches, the same images in the same slots, of length 1.
        rows: (n,) boolean, those that count.
        temperature: of the cosines (0.07 in the published runs).

    Returns:
        Scalar >= 0: symmetric divergence between the branches, mean over rows; 0 where there are none. The gradient
        goes into both branches and both views.
    """
    first, second = (
        torch.log_softmax(mutual_logits(u, v, memory, temperature), dim=1)
        for u, v, memory in zip(views, other_views, memories, strict=True)
    )
    symmetric = ((first.exp() - second.exp()) * (first - second)).sum(dim=1) / 2
    return (symmetric * rows).sum() / rows.sum().clamp(min=1)


def mutual_logits(view: Tensor, other: Tensor, memory: Tensor, temperature: float) -> Tensor:
    """(n, 1 + K) cosines of a row with its other view and with the memory, over the temperature."""
    return memory_logits(F.normalize(full(view), dim=1), F.normalize(full(other), dim=1), memory, temperature)
