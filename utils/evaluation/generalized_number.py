"""How many novel classes are in a heap that holds known ones too? Criteria beside those of
:mod:`utils.evaluation.class_number`.

N unlabelled images, M labelled ones of L classes, D features, k a candidate for the number U of novel classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from utils.evaluation.kmeans import kmeans, silhouette
from utils.evaluation.metrics import cluster_acc

DIMENSIONS = 64  # principal components in which everything is done
FOLDS, QUANTILE = 5, 0.05


def novelty(x: np.ndarray, labeled: np.ndarray, seed: int) -> np.ndarray:
    """Which images of the heap look unlike every known class.

    Logistic regression tells labelled images from the heap, whose images of known classes it cannot tell. An image of
    the heap is unlike the known ones when its score, from a fit that did not see it, is below the 5 % quantile of the
    labelled images' scores, from fits that did not see those.

    Args:
        x: (N, D), the heap.
        labeled: (M, D).
        seed: of the folds.

    Returns:
        (N,) bool.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    together = np.concatenate([labeled, x])
    is_labeled = np.arange(len(together)) < len(labeled)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, together, is_labeled, cv=folds, method="decision_function")
    return scores[~is_labeled] < np.quantile(scores[is_labeled], QUANTILE)


def principal(x: Tensor, labeled: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both in the principal components of both, at most ``DIMENSIONS``."""
    from sklearn.decomposition import PCA

    together = torch.cat([x, labeled]).cpu().numpy()
    size = min(DIMENSIONS, *together.shape)
    parts = PCA(size, random_state=0).fit_transform(together)
    return parts[: len(x)], parts[len(x) :]


def unlike_known(x: Tensor, labeled: Tensor, candidates: Sequence[int], seed: int) -> np.ndarray:
    """Those rows of the heap, in principal components; the whole heap where they are too few to be clustered."""
    heap, known = principal(x, labeled)
    chosen = heap[novelty(heap, known, seed)] if min(len(heap), len(known)) >= FOLDS else heap
    return chosen if len(chosen) > max(candidates) else heap


def by_novelty(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``novelty``: the silhouette of k clusters of those images that look unlike every known class."""
    rows = torch.from_numpy(unlike_known(x, labeled, candidates, seed)).float()
    return {k: silhouette(rows, torch.from_numpy(kmeans(rows, k, 3, seed))) for k in candidates}


def by_inertia(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``inertia``: the knee of k-means' inertia on the same images.

    How far the curve lies below the line between its ends, both axes scaled to 0..1 (Satopää et al., "Kneedle",
    ICDCSW 2011).
    """
    from sklearn.cluster import KMeans

    rows = unlike_known(x, labeled, candidates, seed)
    inertia = np.array([KMeans(k, n_init=3, random_state=seed).fit(rows).inertia_ for k in candidates])
    across = (np.array(candidates) - candidates[0]) / max(candidates[-1] - candidates[0], 1)
    down = (inertia - inertia[-1]) / max(inertia[0] - inertia[-1], 1e-12)
    return dict(zip(candidates, (1 - across - down).tolist(), strict=True))


def by_brent(x: Tensor, labeled: Tensor, labels: Tensor, candidates: Sequence[int], seed: int) -> dict[int, float]:
    """Criterion of ``brent`` (GCD): Hungarian accuracy on the labelled images of plain k-means of all images.

    The number of all clusters is searched by scipy's bounded Brent between L and L plus the largest candidate; the
    curve holds the numbers that the search visits, cut to integers. It is neither smooth nor unimodal. Published with
    all features; here in principal components.
    """
    together = torch.from_numpy(np.concatenate(principal(x, labeled))).to(x)
    truth = labels.cpu().numpy()
    return brent(lambda count: _labeled_acc(together, truth, count, seed), int(truth.max()) + 1, max(candidates))


def brent(accuracy_of: Callable[[int], float], num_labeled: int, largest: int) -> dict[int, float]:
    """Candidates that the search visits -> accuracy; the last best one is where it ends.

    Args:
        accuracy_of: number of all clusters -> accuracy on the labelled images.
        num_labeled: L, the lower bound.
        largest: U at most.
    """
    from scipy.optimize import minimize_scalar

    curve: dict[int, float] = {}

    def negative(count: float) -> float:
        accuracy = accuracy_of(int(count))
        curve[int(count) - num_labeled] = accuracy
        return -accuracy

    bounds = (num_labeled, num_labeled + largest)
    ended = minimize_scalar(negative, bounds=bounds, method="bounded", options={"disp": False})
    # Where it ends wins over others that are as good.
    curve[int(ended.x) - num_labeled] = float(np.nextafter(max(curve.values()), 2.0))
    return dict(sorted((max(k, 1), value) for k, value in curve.items()))


def _labeled_acc(together: Tensor, truth: np.ndarray, count: int, seed: int) -> float:
    """Hungarian accuracy on the labelled images, the last ones, of k-means of all."""
    return cluster_acc(truth, kmeans(together, count, 3, seed)[-len(truth) :])
