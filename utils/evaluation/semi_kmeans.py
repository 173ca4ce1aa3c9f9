"""Semi-supervised k-means (Vaze et al., "Generalized Category Discovery", CVPR 2022); plain k-means with its centroids.

N images to cluster, M labelled ones of L classes, D features, K clusters of all classes, R restarts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.evaluation.kmeans import kmeans

RESTARTS, PUBLISHED_RESTARTS, ITERATIONS = 10, 100, 200
NUMBERS_AT_ONCE = 2**25  # of each array with a number for every restart, image and cluster or dimension
TOLERANCE = 1e-4  # as published: of the squared sum of the distances that the centroids move


def kmeans_centroids(x: Tensor, k: int, seed: int = 0, restarts: int = RESTARTS) -> tuple[Tensor, Tensor]:
    """Centroids (K, D) and clusters (N,) of the best of several restarts of :func:`utils.evaluation.kmeans.kmeans`.

    Args:
        x: (N, D) float32, N >= K.
        k: K.
        seed: of the starts.
        restarts: how many.
    """
    clusters = torch.from_numpy(kmeans(x, k, restarts, seed)).to(x.device)
    return class_means(x, clusters, k), clusters


def semi_kmeans(
    x: Tensor, labeled: Tensor, labels: Tensor, num_labeled: int, k: int, seed: int = 0, restarts: int = RESTARTS
) -> tuple[Tensor, Tensor]:
    """k-means in which labelled images stay in the cluster of their class.

    The first L centroids start as class means; the others by k-means++ among ``x``. Unlabelled images may go to any of
    the L+k clusters, labelled ones to that of their class alone, and both make the centroids.

    Args:
        x: (N, D) float, unlabelled.
        labeled: (M, D) float, on the same device.
        labels: (M,) int64 in 0..L-1, each of them at least once.
        num_labeled: L; with 0 this is plain k-means.
        k: clusters beside those of the labelled classes.
        seed: of the starts.
        restarts: R; the one with the smallest inertia of labelled and unlabelled images together is returned. The
            time is proportional to it.

    Returns:
        centroids (L+k, D), and clusters (N,) of ``x``.

    Raises:
        ValueError: for fewer images than clusters.
    """
    if len(x) < k:
        raise ValueError(f"{len(x)} images cannot make {k} clusters")
    starts = _plus_plus(x, class_means(labeled, labels, num_labeled), k, restarts, seed)
    at_once = max(1, NUMBERS_AT_ONCE // (len(x) * max(starts.shape[1:])))
    runs = [semi_lloyd(x, labeled, labels, some) for some in starts.split(at_once)]
    centroids, clusters, inertia = (torch.cat(parts) for parts in zip(*runs, strict=True))
    best = int(inertia.argmin())
    return centroids[best], clusters[best]


def class_means(labeled: Tensor, labels: Tensor, num_labeled: int) -> Tensor:
    """(M, D) features and (M,) labels -> (L, D); 0 for a class without images."""
    one_hot = F.one_hot(labels, num_labeled).to(labeled) if num_labeled else labeled.new_zeros(len(labels), 0)
    return one_hot.T @ labeled / one_hot.sum(dim=0)[:, None].clamp(min=1)


def semi_lloyd(
    x: Tensor,
    labeled: Tensor,
    labels: Tensor,
    centroids: Tensor,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Semi-supervised k-means from given centroids, as published; restarts run side by side.

    One stops when the squared sum of the distances that its centroids move is below ``tolerance``; what is returned is
    its iteration of the smallest inertia. An empty cluster stays where it is; in the published code it becomes NaN.

    Args:
        x, labeled, labels: as in :func:`semi_kmeans`.
        centroids: (R, K, D), those of the labelled classes first.
        tolerance: as above.
        iterations: at most.

    Returns:
        centroids (R, K, D) after the update, clusters (R, N) before it, and their inertia (R,) before it: squared
        distances of the unlabelled images, and of the labelled ones to the centroid of their class.
    """
    restarts, k, size = centroids.shape
    fixed_sums = torch.zeros_like(centroids[0]).index_add_(0, labels, labeled)  # (K, D)
    fixed_counts = torch.bincount(labels, minlength=k).to(x)  # (K,)
    best_centroids, best_inertia = centroids.clone(), x.new_full((restarts,), torch.inf)
    best_clusters = torch.zeros(restarts, len(x), dtype=torch.long, device=x.device)
    running, current = torch.arange(restarts, device=x.device), centroids
    for _ in range(iterations):
        nearest, clusters = _squared_distances(x, current).min(dim=2)  # (R, N)
        inertia = nearest.sum(dim=1) + (labeled - current[:, labels]).square().sum(dim=(1, 2))
        flat = (clusters + k * torch.arange(len(current), device=x.device)[:, None]).flatten()
        counts = fixed_counts + torch.bincount(flat, minlength=k * len(current)).view(-1, k)
        sums = fixed_sums.repeat(len(current), 1).index_add_(0, flat, x.repeat(len(current), 1))
        moved = sums.view(-1, k, size) / counts[..., None].clamp(min=1)
        moved = torch.where(counts[..., None] > 0, moved, current)
        better = inertia < best_inertia[running]
        rows = running[better]
        best_centroids[rows], best_clusters[rows], best_inertia[rows] = moved[better], clusters[better], inertia[better]
        moving = (moved - current).norm(dim=2).sum(dim=1).square() >= tolerance
        running, current = running[moving], moved[moving]
        if not len(running):
            break
    return best_centroids, best_clusters, best_inertia


def _plus_plus(x: Tensor, means: Tensor, k: int, restarts: int, seed: int) -> Tensor:
    """k-means++ beside given centroids (L, D), for R restarts: each new one an image drawn by its squared distance.

    Returns:
        (R, L+k, D).
    """
    generator = torch.Generator().manual_seed(seed)
    started = len(means) > 0
    nearest = _squared_distances(x, means).amin(dim=1) if started else x.new_ones(len(x))
    nearest = nearest.expand(restarts, -1)  # (R, N)
    chosen = [means.expand(restarts, -1, -1)]
    for turn in range(k):
        share = torch.rand(restarts, 1, generator=generator).to(x)
        cumulative = nearest.double().cumsum(dim=1)
        row = torch.searchsorted(cumulative, share.double() * cumulative[:, -1:]).clamp(max=len(x) - 1)[:, 0]
        new = x[row]  # (R, D)
        chosen.append(new[:, None])
        distance = _squared_distances(x, new).T
        nearest = distance if turn == 0 and not started else torch.minimum(nearest, distance)
    return torch.cat(chosen, dim=1)


def _squared_distances(x: Tensor, centroids: Tensor) -> Tensor:
    """(N, D) and (…, K, D) -> (…, N, K)."""
    cross = x @ centroids.mT
    squares = centroids.square().sum(dim=-1)[..., None, :]
    return (x.square().sum(dim=1)[:, None] - 2 * cross + squares).clamp(min=0)
