"""Semi-supervised k-means, all restarts in one batch; and plain k-means with its centroids.

N images to cluster, M labelled ones of L classes, D features, K clusters, R restarts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.evaluation.kmeans import kmeans

RESTARTS, ITERATIONS = 10, 100


def kmeans_centroids(x: Tensor, k: int, seed: int = 0, restarts: int = RESTARTS) -> tuple[Tensor, Tensor]:
    """Centroids (K, D) and clusters (N,) of the best of several restarts of :func:`utils.evaluation.kmeans.kmeans`.

    Args:
        x: (N, D) float32, N >= K.
        k: K.
        seed: of the starts.
        restarts: how many.
    """
    clusters = torch.from_numpy(kmeans(x, k, restarts, seed)).to(x.device)
    one_hot = F.one_hot(clusters, k).to(x)
    return one_hot.T @ x / one_hot.sum(dim=0)[:, None].clamp(min=1), clusters


def semi_kmeans(
    x: Tensor, labeled: Tensor, labels: Tensor, num_labeled: int, k: int, seed: int = 0, restarts: int = 3
) -> tuple[Tensor, Tensor]:
    """k-means in which labelled images stay in the cluster of their class (Vaze et al., "GCD", CVPR 2022).

    The first L centroids start as class means; the others by k-means++ among ``x``. Unlabelled images may go to any of
    the L+K clusters, labelled ones to that of their class alone, and both make the centroids.

    Args:
        x: (N, D) float32, unlabelled.
        labeled: (M, D) float32, on the same device.
        labels: (M,) int64 in 0..L-1, each of them at least once.
        num_labeled: L; with 0 this is plain k-means.
        k: K, clusters beside those of the labelled classes.
        seed: of the starts.
        restarts: R; the one with the smallest sum of squared distances is returned.

    Returns:
        centroids (L+K, D), and clusters (N,) of ``x``.

    Raises:
        ValueError: for fewer images than clusters.
    """
    if len(x) < k:
        raise ValueError(f"{len(x)} images cannot make {k} clusters")
    one_hot = F.one_hot(labels, num_labeled).to(x) if num_labeled else x.new_zeros(len(labels), 0)
    fixed_sums, fixed_counts = one_hot.T @ labeled, one_hot.sum(dim=0)  # (L, D), (L,)
    means = (fixed_sums / fixed_counts[:, None].clamp(min=1)).expand(restarts, -1, -1)
    centroids = _plus_plus(x, means, k, seed)  # (R, L+K, D)
    pad = centroids.shape[1] - num_labeled
    sums, counts = F.pad(fixed_sums, (0, 0, 0, pad)), F.pad(fixed_counts, (0, pad))
    previous = torch.full((restarts, len(x)), -1, device=x.device)
    for _ in range(ITERATIONS):
        distances = _squared_distances(x, centroids)  # (R, N, L+K)
        nearest, clusters = distances.min(dim=-1)
        if torch.equal(clusters, previous):
            break
        previous = clusters
        total = counts.repeat(restarts, 1).scatter_add_(1, clusters, torch.ones_like(nearest))
        index = clusters[..., None].expand(-1, -1, x.shape[1])
        moved = sums.repeat(restarts, 1, 1).scatter_add_(1, index, x.expand(restarts, -1, -1))
        moved = moved / total[..., None].clamp(min=1)
        centroids = torch.where(total[..., None] > 0, moved, centroids)  # an empty cluster stays where it is
    best = int(nearest.sum(dim=1).argmin())
    return centroids[best], clusters[best]


def _plus_plus(x: Tensor, means: Tensor, k: int, seed: int) -> Tensor:
    """k-means++ beside given centroids (R, L, D): each new one an image drawn by its squared distance to the others."""
    generator = torch.Generator().manual_seed(seed)
    restarts, started = len(means), means.shape[1] > 0
    nearest = _squared_distances(x, means).amin(dim=-1) if started else x.new_ones(restarts, len(x))
    chosen = [means]
    for turn in range(k):
        share = torch.rand(restarts, 1, generator=generator).to(x)
        cumulative = nearest.double().cumsum(dim=1)
        row = torch.searchsorted(cumulative, share.double() * cumulative[:, -1:]).clamp(max=len(x) - 1)[:, 0]
        new = x[row][:, None]  # (R, 1, D)
        chosen.append(new)
        distance = _squared_distances(x, new)[..., 0]
        nearest = distance if turn == 0 and not started else torch.minimum(nearest, distance)
    return torch.cat(chosen, dim=1)


def _squared_distances(x: Tensor, centroids: Tensor) -> Tensor:
    """(N, D) and (R, K, D) -> (R, N, K)."""
    cross = x @ centroids.mT
    return (x.square().sum(dim=-1)[:, None] - 2 * cross + centroids.square().sum(dim=-1)[:, None]).clamp(min=0)
