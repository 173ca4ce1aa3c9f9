"""How many novel classes are there? Estimates from pretrained features, with the labelled classes as guide.

N unlabelled images, M labelled ones of L classes, D features, k a candidate for the number U of novel classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.evaluation.generalized_number import by_brent, by_inertia, by_novelty
from utils.evaluation.kmeans import silhouette
from utils.evaluation.metrics import cluster_acc
from utils.evaluation.semi_kmeans import kmeans_centroids, semi_kmeans

MAX_POINTS = 2000  # unlabelled images used; the silhouette's time is quadratic in them
MAX_CANDIDATES = 32  # numbers that are tried, evenly spaced
PROBE_DRAWS = 5
WITHIN = 0.1  # candidates whose criterion is as near to the best one, as a share of its span, are nearly as good


@dataclass(frozen=True)
class Estimate:
    """What a method finds.

    Args:
        number: the estimated U.
        near: the candidates that the criterion can hardly tell from each other, this one among them, in order.
        curve: candidate -> criterion, larger is better.
    """

    number: int
    near: tuple[int, ...]
    curve: dict[int, float]

    @property
    def certainty(self) -> str:
        """How sure the number is, in words: the others that come near, or what was tried where none does.

        >>> Estimate(2, (2, 4, 5), {2: 1.0, 3: 0.1, 4: 1.0, 5: 1.0, 6: 0.0}).certainty
        'nearly as good: 4 to 5; it is the smallest number that was tried'
        >>> Estimate(2, (2,), {2: 1.0, 3: 0.1, 4: 0.0}).certainty
        'of 2 to 4 no other comes near by this criterion; it is the smallest number that was tried'
        """
        tried = sorted(self.curve)
        if len(tried) == 1:
            return "it is the only number that was tried: raise --max_unlabeled_classes"
        others = [k for k in self.near if k != self.number]
        text = f"nearly as good: {_ranges(others)}"
        if not others:
            text = f"of {tried[0]} to {tried[-1]} no other comes near by this criterion"
        if self.number == tried[0]:
            text += "; it is the smallest number that was tried"
        if self.number == tried[-1]:
            text += "; it is the largest number that was tried: raise --max_unlabeled_classes"
        return text


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in words, neighbours as one range.

    >>> _ranges([2, 4, 5, 6, 9])
    '2, 4 to 6, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def by_silhouette(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``silhouette``: k-means on the unlabelled images alone; the labelled ones are not looked at."""
    return {k: silhouette(x, kmeans_centroids(x, k, seed, restarts=3)[1]) for k in candidates}


def by_guide(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``guided``: semi-supervised k-means, scored on labelled classes that it does not know.

    A third of the labelled classes (at least one) play novel ones: their images join the unlabelled images without
    labels. For each k, semi-supervised k-means makes k + probes clusters beside the other labelled classes. The
    criterion is the mean of the Hungarian accuracy on the probes and of the silhouette of the novel images, each
    scaled to 0..1 over the candidates (the idea is that of Han et al., "DTC", ICCV 2019), averaged over
    ``PROBE_DRAWS`` choices of probes, since the estimate depends on which classes they are.
    """
    curves = [_probe_curve(x, labeled, labels, candidates, PROBE_DRAWS * seed + draw) for draw in range(PROBE_DRAWS)]
    return dict(zip(candidates, np.mean(curves, axis=0).tolist(), strict=True))


def _probe_curve(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> np.ndarray:
    """Criterion of ``guided`` over the candidates for one choice of probes."""
    num_labeled = int(labels.max()) + 1
    order = torch.randperm(num_labeled, generator=torch.Generator().manual_seed(seed)).to(labels.device)
    probes, anchors = order[: max(1, num_labeled // 3)], order[max(1, num_labeled // 3) :]
    position = torch.empty_like(order).scatter_(0, anchors, torch.arange(len(anchors), device=order.device))
    hidden = torch.isin(labels, probes)
    known = labeled[~hidden], position[labels[~hidden]]
    together = torch.cat([x, labeled[hidden]])
    truth = np.unique(labels[hidden].cpu().numpy(), return_inverse=True)[1]
    scores = []
    for k in candidates:
        _, clusters = semi_kmeans(together, *known, len(anchors), k + len(probes), seed, restarts=10)
        found = clusters[len(x) :].cpu().numpy()
        apart = found >= len(anchors)  # a probe in the cluster of a known class is wrong
        accuracy = cluster_acc(truth[apart], found[apart]) * apart.mean() if apart.any() else 0.0
        scores.append((accuracy, silhouette(x, clusters[: len(x)])))
    return np.mean([_scaled(np.array(column)) for column in zip(*scores, strict=True)], axis=0)


def by_merging(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``merging``: over-cluster everything, then merge, where the labelled classes say how far.

    k-means makes three prototypes for each labelled class and each of the most candidates; average linkage merges
    them. Every number of clusters on the way is scored by the adjusted Rand index on the labelled images; a candidate
    k gets the best score of the cuts at which k clusters are mostly novel; one without such a cut is left out.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import adjusted_rand_score

    num_labeled = int(labels.max()) + 1
    everything = torch.cat([x, labeled])
    prototypes, members = kmeans_centroids(
        everything, min(3 * (num_labeled + max(candidates)), len(everything) // 4), seed, 1
    )
    tree = linkage(prototypes.cpu().numpy(), "average")
    truth, member_of = labels.cpu().numpy(), members.cpu().numpy()
    curve: dict[int, float] = {}
    for count in range(2, len(prototypes) + 1):
        cluster = fcluster(tree, count, "maxclust")[member_of]
        score = float(adjusted_rand_score(truth, cluster[len(x) :]))
        k = num_novel_clusters(cluster[: len(x)], cluster[len(x) :])
        if k in candidates:
            curve[k] = max(curve.get(k, -1.0), score)
    return dict(sorted(curve.items())) or dict.fromkeys(candidates, 0.0)


def num_novel_clusters(novel: np.ndarray, labeled: np.ndarray) -> int:
    """Clusters with more novel than labelled images that are not tiny: at least a fifth of the mean size of those.

    >>> num_novel_clusters(np.array([0] * 9 + [1] * 9 + [2]), np.array([3] * 9 + [1]))
    2
    """
    size = int(max(novel.max(initial=0), labeled.max(initial=0))) + 1
    counts = np.bincount(novel, minlength=size)
    own = counts[counts > np.bincount(labeled, minlength=size)]
    return int((own >= own.mean() / 5).sum()) if len(own) else 0


METHODS: dict[str, Callable[[Tensor, Tensor, Tensor, Sequence[int], int], dict[int, float]]] = {
    "guided": by_guide,
    "merging": by_merging,
    "silhouette": by_silhouette,
    "novelty": by_novelty,
    "inertia": by_inertia,
    "brent": by_brent,
}


def candidates_up_to(largest: int) -> list[int]:
    """Numbers from 2 to ``largest`` that are tried: all of them, or every second, third, …

    >>> candidates_up_to(6), candidates_up_to(100)[:3]
    ([2, 3, 4, 5, 6], [2, 6, 10])
    """
    return list(range(2, largest + 1, max(1, -(-largest // MAX_CANDIDATES))))


def default_largest(num_labeled: int, num_images: int) -> int:
    """The largest number that is tried where nobody says: twice the labelled classes, within 10 and 200."""
    return max(2, min(max(10, 2 * num_labeled), 200, num_images // 5))


def estimate(
    x: Tensor, labeled: Tensor, labels: Tensor, method: str = "silhouette", largest: int | None = None, seed: int = 0
) -> Estimate:
    """The number of novel classes among unlabelled images.

    Args:
        x: (N, D) features of the unlabelled images.
        labeled, labels: (M, D) features and (M,) classes 0..L-1 of the labelled ones, on the same device.
        method: a key of ``METHODS``.
        largest: the largest candidate; None: :func:`default_largest`.
        seed: of samples, starts and the choice of probes.

    Raises:
        KeyError: for an unknown method.
    """
    largest = largest or default_largest(int(labels.max()) + 1, len(x))
    x, _ = _sample(F.normalize(x, dim=-1), None, seed)
    labeled, kept = _sample(F.normalize(labeled, dim=-1), labels, seed)
    assert kept is not None
    curve = METHODS[method](x, labeled, kept, candidates_up_to(min(largest, len(x) - 1)), seed)
    values = np.array(list(curve.values()))
    least = values.max() - WITHIN * (values.max() - values.min() or 1)
    near = tuple(k for k, value in sorted(curve.items()) if value >= least)
    best = max(curve, key=lambda k: (curve[k], k))  # of equals the finest: a cut too coarse can leave the guide whole
    return Estimate(best, near, curve)


def _sample(x: Tensor, labels: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """At most ``MAX_POINTS`` rows, but of every label at least one."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    rows = order[:MAX_POINTS]
    if labels is not None:
        firsts = torch.stack([order[labels[order] == label][0] for label in labels.unique()])
        rows = torch.cat([firsts, rows]).unique()
    return x[rows], None if labels is None else labels[rows]


def _scaled(values: np.ndarray) -> np.ndarray:
    """To 0..1; all 0 where they are equal."""
    return (values - values.min()) / max(values.max() - values.min(), 1e-12)
