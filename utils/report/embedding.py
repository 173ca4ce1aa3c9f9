"""t-SNE of features: a map on which images of one class should lie together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.report.style import COLORS, INK, MUTED, new_figure

MAX_POINTS = 800  # t-SNE's time grows with them: 2 to 3 seconds on one core
SHAPES = "osD^vP"


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Positions (N, 2) float32 of features (N, D), N >= 4, that keep neighbours together (van der Maaten and
    Hinton, 2008).

    Features are put on the unit sphere first, as the heads see them, and to 50 dimensions by PCA.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    if min(features.shape) > 50:
        features = PCA(50, random_state=seed).fit_transform(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=seed).fit_transform(features)


def sample_rows(labels: np.ndarray, max_points: int = MAX_POINTS, seed: int = 0) -> np.ndarray:
    """Sorted rows of at most ``max_points`` samples: of every label the same share, at least one."""
    if len(labels) <= max_points:
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    by_label = order[np.argsort(labels[order], kind="stable")]
    return np.sort(by_label[np.linspace(0, len(labels) - 1, max_points).astype(int)])


def plot_embedding(points: np.ndarray, labels: np.ndarray, names: Sequence[str], num_known: int) -> Any:
    """A map of samples, known classes filled circles, novel ones of other shapes; a matplotlib figure.

    Args:
        points: (N, 2) positions.
        labels: (N,) integers into ``names``; others (-1) are drawn small and grey.
        names: of the labels, the known ones first.
        num_known: how many are known. Beyond 12 labels known ones are grey, and novel ones have their names on the map.
    """
    crowded = len(names) > 12
    figure = new_figure(7.5, 5.2)
    axis = figure.subplots()
    rest = (labels < 0) | (labels >= len(names))
    axis.scatter(*points[rest].T, s=6, color=MUTED, linewidths=0, rasterized=True)
    for label, name in enumerate(names):
        here = points[labels == label]
        if not len(here):
            continue
        known, turn = label < num_known, label if label < num_known else label - num_known
        color = MUTED if crowded and known else (*COLORS[:6],)[turn % 6]
        shape = "o" if known else SHAPES[1 + turn // 6 % 5] if crowded else "^"
        title = None if crowded else f"{name} ({'known' if known else 'novel'})"
        axis.scatter(*here.T, s=14, color=color, marker=shape, linewidths=0, alpha=0.8, label=title, rasterized=True)
        if crowded and not known:
            axis.text(*np.median(here, axis=0), name, fontsize=7, ha="center", va="center", color=INK)
    axis.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    if not crowded:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9, markerscale=1.6)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
