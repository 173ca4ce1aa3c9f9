"""t-SNE of features: a map on which images of one class should lie together. N samples, D dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from utils.report.plots.style import COLORS, INK, MUTED, new_figure, shortened

MAX_POINTS = 800  # t-SNE's time grows with them: 2 to 3 seconds on one core
MAX_PANEL_POINTS, MAX_PANEL_CLASSES = 5000, 20
SHAPES = "osD^vP"
# Cool colours and circles for known classes, warm ones and other shapes for novel ones: two classes never share both.
KNOWN_COLORS = ("#0072B2", "#56B4E9", "#009E73", "#7A5CD0", "#86B04A", "#00B7C3")
NOVEL_COLORS = ("#D55E00", "#E69F00", "#CC79A7", "#AA4455", "#A6761D", "#C2185B")
NOVEL_SHAPES = "^sDvPX"
MAX_LEGEND = 12  # labels; beyond them known ones are grey, and novel ones have their names on the map
PANEL_TITLES = {"backbone": "backbone", "feature": "last layer"}


def tsne(features: np.ndarray, seed: int = 0, unit: bool = True, max_iter: int = 500) -> np.ndarray:
    """Positions (N, 2) float32 that keep neighbours together (van der Maaten and Hinton, 2008).

    Args:
        features: (N, D); brought to 50 dimensions by PCA first. Fewer than 4 samples, and samples that are all the
            same, as those of a network that has collapsed, have no neighbours to keep: they are put on one spot.
        seed: of PCA and t-SNE.
        unit: put features on the unit sphere first, as the heads of discovery see them.
        max_iter: of t-SNE.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if unit:
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    if len(features) < 4 or np.ptp(features, axis=0).max() < 1e-12:
        return np.zeros((len(features), 2), np.float32)  # t-SNE would end the process: it divides by the spread
    if features.shape[1] == 1:
        features = np.pad(features, ((0, 0), (0, 1)))
    if min(features.shape) > 50:
        features = PCA(50, random_state=seed).fit_transform(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", max_iter=max_iter, random_state=seed).fit_transform(features)


def sample_rows(labels: np.ndarray, max_points: int = MAX_POINTS, seed: int = 0) -> np.ndarray:
    """Sorted rows of at most ``max_points`` samples: of every label the same share, at least one."""
    if len(labels) <= max_points:
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    by_label = order[np.argsort(labels[order], kind="stable")]
    return np.sort(by_label[np.linspace(0, len(labels) - 1, max_points).astype(int)])


def plot_embedding(points: np.ndarray, labels: np.ndarray, names: Sequence[str], num_known: int) -> Any:
    """A map of samples: known classes circles in cool colours, novel ones other shapes in warm colours.

    Args:
        points: (N, 2) positions.
        labels: (N,) integers into ``names``; others (-1) are drawn small and grey.
        names: of the labels, the known ones first.
        num_known: how many are known.

    Returns:
        a matplotlib figure.
    """
    crowded = len(names) > MAX_LEGEND
    figure = new_figure(7.5, 5.2)
    axis = figure.subplots()
    rest = (labels < 0) | (labels >= len(names))
    axis.scatter(*points[rest].T, s=6, color=MUTED, linewidths=0, rasterized=True)
    for label, name in enumerate(names):
        here = points[labels == label]
        if not len(here):
            continue
        known, turn = label < num_known, label if label < num_known else label - num_known
        color = MUTED if crowded and known else (KNOWN_COLORS if known else NOVEL_COLORS)[turn % 6]
        # Few classes: each has a shape of its own; many: the shape changes when the colours begin anew.
        shape = "o" if known else NOVEL_SHAPES[(turn // 6 if crowded else turn) % 6]
        title = None if crowded else f"{shortened(name)} ({'known' if known else 'novel'})"
        axis.scatter(*here.T, s=18, color=color, marker=shape, linewidths=0, alpha=0.8, label=title, rasterized=True)
        if crowded and not known:
            axis.text(*np.median(here, axis=0), shortened(name), fontsize=7, ha="center", va="center", color=INK)
    axis.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    if not crowded:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9, markerscale=1.6)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def plot_panels(outputs: Mapping[str, Tensor], labels: np.ndarray, class_names: Sequence[str]) -> Any:
    """A map for each output of a network, side by side; a matplotlib figure.

    Args:
        outputs: name -> (N, D); of more than ``MAX_PANEL_POINTS`` samples so many are drawn, the same for every output.
        labels: (N,) integers into ``class_names``; -1, and more than ``MAX_PANEL_CLASSES`` classes, are drawn in grey.
        class_names: by label.
    """
    from matplotlib.patheffects import withStroke

    rows = sample_rows(labels, MAX_PANEL_POINTS)
    labels = labels[rows]
    classes = np.unique(labels[labels >= 0]).tolist()
    named = classes if len(classes) <= MAX_PANEL_CLASSES else []
    size = float(np.clip(8000 / len(rows), 2, 25))
    figure = new_figure(4.6 * len(outputs) + (1.6 if named else 0), 4.6)
    axes = figure.subplots(1, len(outputs), squeeze=False)[0]
    for axis, (name, vectors) in zip(axes, outputs.items(), strict=True):
        points = tsne(vectors[rows].float().cpu().numpy(), unit=False, max_iter=1000)
        axis.scatter(*points[~np.isin(labels, named)].T, s=size, color=MUTED, linewidths=0)
        for turn, label in enumerate(named):
            text = shortened(class_names[label].replace("_", " "))
            marks = {"color": COLORS[turn % 6], "marker": SHAPES[turn // 6], "label": text}
            here = points[labels == label]
            axis.scatter(*here.T, s=size, linewidths=0, **marks)
            around = [withStroke(linewidth=2.5, foreground="white", alpha=0.8)]
            # Named on the map too: small marks of two shapes look alike.
            axis.text(*np.median(here, axis=0), text, fontsize=8, ha="center", va="center", path_effects=around)
        axis.set(title=PANEL_TITLES.get(name, name), xticks=[], yticks=[], aspect="equal", adjustable="datalim")
        axis.spines[:].set_color("0.8")
    if named:
        handles, texts = axes[0].get_legend_handles_labels()
        enlarge = 6 / size**0.5  # markers that the eye can tell apart, however small the points
        figure.legend(handles, texts, loc="outside right center", fontsize=9, frameon=False, markerscale=enlarge)
    return figure
