"""Confusion matrices after Hungarian matching, and the pairs of classes that are mixed up most.

C true classes, K clusters or outputs.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from utils.errors import printable
from utils.evaluation.metrics import table_mapping
from utils.report.plots.style import new_figure, shortened

CROWDED = 24  # classes from which the matrix is drawn larger, with smaller labels and no numbers in its cells
ON_YELLOW = "#111111"  # not black: an SVG leaves that away, and the page's own colour of text, white at night, comes in
LABELLED = 120  # beyond these not every class has its name


def matched_order(table: np.ndarray) -> list[int]:
    """All K clusters, those matched to the classes 0, 1, … first, then the left-over ones."""
    matched = {label: cluster for cluster, label in table_mapping(table).items()}
    order = [matched[label] for label in range(len(table)) if label in matched]
    return order + [cluster for cluster in range(table.shape[1]) if cluster not in matched.values()]


def column_names(table: np.ndarray, names: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Of the clusters in matched order: the matched class, and the cluster's own name where that is another one."""
    matched = table_mapping(table)
    columns = []
    for cluster in matched_order(table):
        own, label = outputs[cluster], matched.get(cluster, len(names))
        if label < len(names) and names[label] != own:
            own = f"{shortened(names[label])} ({own})"
        columns.append(own)
    return columns


def class_accuracies(table: np.ndarray) -> np.ndarray:
    """Share of each class (C,) that is in the cluster matched to it; NaN for a class without samples."""
    correct = np.zeros(len(table))
    for cluster, label in table_mapping(table).items():
        correct[label] = table[label, cluster]
    totals = table.sum(axis=1)
    return np.where(totals > 0, correct / np.maximum(totals, 1), np.nan)


def confused_pairs(table: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """(true class, cluster, samples) of the largest cells outside the matching, largest first."""
    wrong = table.copy()
    for cluster, label in table_mapping(table).items():
        wrong[label, cluster] = 0
    cells = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [(int(label), int(cluster)) for label, cluster in zip(*np.unravel_index(cells, wrong.shape), strict=True)]
    return [(label, cluster, int(wrong[label, cluster])) for label, cluster in pairs if wrong[label, cluster]]


def confusion_rows(
    table: np.ndarray, names: Sequence[str], outputs: Sequence[str], rates: bool = True
) -> Iterable[tuple]:
    """Header and rows of the matrix as a table of rates or counts, clusters in matched order."""
    order = matched_order(table)
    yield ("true class", *(outputs[cluster] for cluster in order))
    for label, name in enumerate(names[: len(table)]):
        counts = table[label, order]
        yield (name, *(f"{count / max(counts.sum(), 1):.4f}" if rates else count for count in counts))


def plot_confusion(
    table: np.ndarray,
    names: Sequence[str],
    num_labeled: int,
    outputs: Sequence[str] | None = None,
    rates: bool = True,
) -> Any:
    """True classes against clusters, these in the order of the Hungarian matching; a matplotlib figure.

    Args:
        table: (C, K) counts.
        names: of the classes, known ones first.
        num_labeled: how many are known; a line parts them from the novel ones (0: no line).
        outputs: names of the clusters; None: those of the known classes, then ``novel-0``, ``novel-1``, …
        rates: shares of each class, else counts.
    """
    num_classes, num_clusters = table.shape
    order = matched_order(table)
    names = [printable(name) for name in names]
    outputs = outputs and [printable(name) for name in outputs]
    if outputs is None:
        own = names[:num_labeled]
        outputs = [*own, *(f"novel-{cluster}" for cluster in range(num_clusters - len(own)))]
    columns = column_names(table, names, outputs)
    values = table[:, order]
    if rates:
        values = values / np.maximum(table.sum(axis=1, keepdims=True), 1)
    crowded = max(num_classes, num_clusters) > CROWDED
    size = 6.5 if crowded else 9
    ticks = {"x": columns, "y": [shortened(name) for name in names[:num_classes]]}
    room = {which: size / 120 * max(map(len, texts), default=0) for which, texts in ticks.items()}  # inches of names
    width, height = (min(15.0, 0.5 + 0.135 * n) if crowded else 1.0 + 0.42 * n for n in (num_clusters, num_classes))
    figure = new_figure(width + room["y"] + 1.9, max(height + room["x"] + 0.7, 2.6))
    axis = figure.subplots()
    top = 1.0 if rates else max(1, int(values.max(initial=0)))
    image = axis.imshow(values, vmin=0, vmax=top, cmap="cividis", aspect="auto", interpolation="nearest")
    label = "share of the true class" if rates else "images"
    bar = figure.colorbar(image, label=label, shrink=0.7, aspect=30)
    bar.outline.set_visible(False)
    for which, texts in ticks.items():
        step = -(-len(texts) // LABELLED)
        places = range(0, len(texts), step)
        turn = {"rotation": 90} if which == "x" and max(map(len, texts), default=0) > 2 else {}
        getattr(axis, f"set_{which}ticks")(places, [texts[place] for place in places], fontsize=size, **turn)
    axis.set(xlabel="matched class (its cluster or output)", ylabel="true class")
    if 0 < num_labeled < num_classes:
        for line in (axis.axhline, axis.axvline):
            line(num_labeled - 0.5, color="white", linewidth=1.2)
    if not crowded:
        for i, j in np.ndindex(*values.shape):
            if table[i, order[j]]:
                text = f"{values[i, j]:.2f}".lstrip("0") if rates else str(values[i, j])
                color = ON_YELLOW if values[i, j] > 0.6 * top else "white"
                axis.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
    return figure
