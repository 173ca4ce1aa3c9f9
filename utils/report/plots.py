"""Pictures of a run, drawn without a display. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from utils.eval import table_mapping
from utils.files import write_whole

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
PANELS = (
    (
        "loss",
        (
            *("loss", "loss_cluster", "loss_overcluster", "loss_supervised", "val/loss_supervised"),
            *("loss_instance", "loss_feature", "entropy"),
        ),
    ),
    ("constraint", ()),  # whatever is logged as <k>_loss
    (
        "accuracy",
        (
            *("unlab/train/acc/best", "unlab/test/acc/best", "unlab/test/acc/avg", "lab/test/acc", "joint/all"),
            *("val/acc", "backbone/acc", "feature/acc"),
        ),
    ),
    ("NMI", ("backbone/nmi", "feature/nmi")),
    ("learning rate", ("lr",)),
)


def read_metrics(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Column of a ``metrics.csv`` -> (epochs counted from 1, values), without the empty cells."""
    columns: dict[str, tuple[list[int], list[float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value not in (None, "") and name not in ("epoch", "step"):
                    epochs, values = columns.setdefault(name, ([], []))
                    epochs.append(int(row["epoch"]) + 1)
                    values.append(float(value))
    return columns


def plot_curves(path: Path) -> Any:
    """Losses, constraints, accuracies and learning rate over the epochs of a ``metrics.csv``; a matplotlib figure."""
    from matplotlib.figure import Figure

    columns = read_metrics(path)
    constraints = tuple(name for name in columns if name.endswith("_loss"))
    panels = [(title, [name for name in names or constraints if name in columns]) for title, names in PANELS]
    panels = [(title, names) for title, names in panels if names]
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for axis, (title, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, color in zip(names, COLORS, strict=False):
            epochs, values = columns[name]
            axis.plot(epochs, values, color=color, label=name, linewidth=1.6, marker="o" if len(epochs) == 1 else None)
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if title in ("accuracy", "NMI"):
            axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def plot_confusion(table: np.ndarray, names: tuple[str, ...], num_labeled: int) -> Any:
    """Shares of each true class in each cluster, clusters ordered by the Hungarian matching; a matplotlib figure.

    Args:
        table: (C, K) counts.
        names: of the classes, known ones first.
        num_labeled: how many are known; a line parts them from the novel ones.
    """
    from matplotlib.figure import Figure

    num_classes, num_clusters = table.shape
    matched = {label: cluster for cluster, label in table_mapping(table).items()}
    order = [matched[label] for label in range(num_classes) if label in matched]
    order += [cluster for cluster in range(num_clusters) if cluster not in order]
    rates = table[:, order] / np.maximum(table.sum(axis=1, keepdims=True), 1)

    side = min(12.0, 3.0 + 0.35 * num_classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(rates, vmin=0, vmax=1, cmap="cividis")
    figure.colorbar(image, label="share of the class", shrink=0.8)
    step = max(1, num_classes // 40)
    ticks = range(0, num_classes, step)
    axis.set_yticks(ticks, [names[i] if i < len(names) else str(i) for i in ticks], fontsize=8)
    axis.set_xticks(range(0, num_clusters, step), [str(order[i]) for i in range(0, num_clusters, step)], fontsize=8)
    axis.set(xlabel="cluster, in the order of its matched class", ylabel="true class")
    for line in (axis.axhline, axis.axvline):
        line(num_labeled - 0.5, color="white", linewidth=1)
    if num_classes <= 12:
        for i, j in np.ndindex(*rates.shape):
            if rates[i, j] >= 0.005:
                color = "black" if rates[i, j] > 0.6 else "white"
                axis.text(j, i, f"{rates[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=color)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """A PNG at 130 dots an inch, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    write_whole(path, lambda file: file.write(data.getvalue()))
