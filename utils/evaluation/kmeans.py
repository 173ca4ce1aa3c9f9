"""k-means on what a network gives out: on a GPU in batches over its starts, on a CPU by scikit-learn.

N samples, D dimensions, k clusters, R starts.
"""

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError

STARTS, SEED = 10, 42  # as published
ITERATIONS = 300  # of Lloyd at most; it ends earlier
TOLERANCE = 1e-4  # when all centres together move by less than this share of the mean variance


def kmeans(vectors: Tensor, k: int, starts: int = STARTS, seed: int = SEED) -> np.ndarray:
    """Cluster of each vector, by the best of several starts (k-means++, then Lloyd).

    Args:
        vectors: (N, D), of any float type; on a CPU scikit-learn clusters them, on another device :func:`lloyd`.
        k: number of clusters, 1 <= k <= N.
        starts: n_init.
        seed: of the starts.

    Returns:
        (N,) int64.

    Raises:
        UserError: when there are fewer vectors than clusters, or numbers among them that are not finite.
    """
    if k > len(vectors):
        raise UserError(f"k-means cannot make {k} clusters of {len(vectors)} images; choose a smaller --k")
    if not bool(torch.isfinite(vectors).all()):
        raise UserError("the network's outputs are not finite, so that they cannot be clustered: training diverged")
    if vectors.device.type == "cpu":
        from sklearn.cluster import KMeans

        return KMeans(k, n_init=starts, random_state=seed).fit(vectors.float().numpy()).labels_.astype(np.int64)
    labels, _ = lloyd(vectors.float(), k, starts, seed)
    return labels.cpu().numpy()


def silhouette(x: Tensor, clusters: Tensor) -> float:
    """Mean silhouette (-1..1) of a clustering; 0 for a single cluster."""
    from sklearn.metrics import silhouette_score

    found = clusters.cpu().numpy()
    return float(silhouette_score(x.cpu().numpy(), found)) if 1 < len(np.unique(found)) < len(found) else 0.0


@torch.no_grad()
def lloyd(vectors: Tensor, k: int, starts: int, seed: int) -> tuple[Tensor, Tensor]:
    """k-means of all starts at once, with scikit-learn's rules: k-means++ seeding, its tolerance, the lowest inertia.

    Args:
        vectors: (N, D) float32.
        k, starts, seed: as in :func:`kmeans`.

    Returns:
        clusters (N,) int64 and inertia (scalar) of the best start.
    """
    vectors = vectors - vectors.mean(0)
    generator = torch.Generator(device=vectors.device).manual_seed(seed)
    centers = _plus_plus(vectors, k, starts, generator)  # (R, k, D)
    limit = TOLERANCE * vectors.var(0, unbiased=False).mean()
    for _ in range(ITERATIONS):
        labels, _ = _nearest(vectors, centers)  # (R, N)
        sums, counts = cluster_sums(vectors, labels, k)
        moved = torch.where(counts[..., None] > 0, sums / counts[..., None].clamp(min=1), centers)
        shift = (moved - centers).square().sum((1, 2)).amax()
        centers = moved
        if shift <= limit:
            break
    labels, distances = _nearest(vectors, centers)
    inertia = distances.sum(1)  # (R,)
    best = inertia.argmin()
    return labels[best], inertia[best]


def cluster_sums(vectors: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Sum of the vectors of each cluster (R, k, D) and their number (R, k), from vectors (N, D) and labels (R, N).

    A matrix product: adding row by row has no fixed order on a GPU, and its kernels wait for each other there.
    """
    members = (labels[:, None] == torch.arange(k, device=labels.device)[:, None]).to(vectors.dtype)  # (R, k, N)
    return torch.matmul(members, vectors), members.sum(-1)


def _nearest(vectors: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centre of each vector and its squared distance, (R, N) each."""
    products = torch.matmul(vectors, centers.mT)  # (R, N, k)
    squares = products.mul_(-2).add_(centers.square().sum(-1)[:, None]).add_(vectors.square().sum(-1)[:, None])
    distances, labels = squares.min(-1)
    return labels, distances.clamp_(min=0)


def _plus_plus(vectors: Tensor, k: int, starts: int, generator: torch.Generator) -> Tensor:
    """k-means++ seeding, greedy as scikit-learn's: of 2 + log k candidates the one that lowers the inertia most."""
    tries = 2 + int(np.log(k))
    first = torch.randint(len(vectors), (starts,), generator=generator, device=vectors.device)
    centers = vectors[first][:, None]  # (R, 1, D)
    _, nearest = _nearest(vectors, centers)  # (R, N)
    for _ in range(k - 1):
        # Drawn in proportion to ``nearest`` as the winners of races: multinomial's sums have no fixed order on a GPU.
        race = torch.empty(starts, tries, len(vectors), device=vectors.device).exponential_(generator=generator)
        candidates = (nearest[:, None] / race.clamp_(min=1e-20)).argmax(-1)  # (R, tries)
        _, distances = _nearest(vectors, vectors[candidates].flatten(0, 1)[:, None])  # (R*tries, N)
        lowered = torch.minimum(distances.unflatten(0, (starts, tries)), nearest[:, None])  # (R, tries, N)
        chosen = lowered.sum(-1).argmin(-1)  # (R,)
        rows = torch.arange(starts, device=vectors.device)
        nearest = lowered[rows, chosen]
        centers = torch.cat([centers, vectors[candidates[rows, chosen]][:, None]], dim=1)
    return centers
