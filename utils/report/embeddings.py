"""t-SNE pictures of a network's outputs, coloured by class. N samples, D dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

MOST_CLASSES, MOST_POINTS, SEED = 20, 5000, 42
TITLES = {"backbone": "backbone", "feature": "last layer"}


def tsne(vectors: np.ndarray, seed: int = SEED) -> np.ndarray:
    """(N, D) -> (N, 2) by t-SNE (van der Maaten and Hinton, 2008), started from the principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if min(vectors.shape) > 50:
        vectors = PCA(50, random_state=seed).fit_transform(vectors)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)


def plot_tsne(outputs: Mapping[str, Tensor], labels: np.ndarray, class_names: Sequence[str]) -> Any:
    """One panel for each output; a matplotlib figure.

    Args:
        outputs: name -> (N, D); of more than ``MOST_POINTS`` samples so many are drawn, the same for every output.
        labels: (N,), -1 where nobody knows: drawn in grey. With more than ``MOST_CLASSES`` classes all are grey.
        class_names: by label.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    rows = np.arange(len(labels))
    if len(rows) > MOST_POINTS:
        rows = np.sort(np.random.default_rng(SEED).permutation(rows)[:MOST_POINTS])
    labels = labels[rows]
    classes = np.unique(labels[labels >= 0]).tolist()
    named = classes if len(classes) <= MOST_CLASSES else []
    palette = colormaps["tab10" if len(named) <= 10 else "tab20"]
    size = float(np.clip(4000 / len(rows), 2, 25))

    figure = Figure(figsize=(4.6 * len(outputs) + (1.6 if named else 0), 4.6), layout="constrained")
    axes = figure.subplots(1, len(outputs), squeeze=False)[0]
    for axis, (name, vectors) in zip(axes, outputs.items(), strict=True):
        points = tsne(vectors[rows].float().cpu().numpy())
        grey = ~np.isin(labels, named)
        axis.scatter(*points[grey].T, s=size, color="0.6", linewidths=0)
        for position, label in enumerate(named):
            here = labels == label
            text = class_names[label].replace("_", " ")
            axis.scatter(*points[here].T, s=size, color=palette(position), linewidths=0, label=text)
        axis.set(title=TITLES.get(name, name), xticks=[], yticks=[], aspect="equal", adjustable="datalim")
        axis.spines[:].set_color("0.8")
    if named:
        handles, texts = axes[0].get_legend_handles_labels()
        enlarge = 6 / size**0.5  # markers that the eye can tell apart, however small the points
        figure.legend(handles, texts, loc="outside right center", fontsize=9, frameon=False, markerscale=enlarge)
    return figure
