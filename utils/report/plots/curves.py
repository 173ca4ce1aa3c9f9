"""The curves of a run."""

import csv
from pathlib import Path
from typing import Any

from utils.report.plots.style import COLORS, new_figure

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


def plot_curves(path: Path, columns: int | None = None) -> Any:
    """Losses, constraints, accuracies and learning rate over the epochs of a ``metrics.csv``; a matplotlib figure.

    The panels stand in rows of ``columns``; None: all in one row.
    """
    logged = read_metrics(path)
    constraints = tuple(name for name in logged if name.endswith("_loss"))
    panels = [(title, [name for name in names or constraints if name in logged]) for title, names in PANELS]
    panels = [(title, names) for title, names in panels if names]
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(4.2 * columns, 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(panels) :]:
        axis.remove()
    for axis, (title, names) in zip(axes, panels, strict=False):
        for name, color in zip(names, COLORS, strict=False):
            epochs, values = logged[name]
            axis.plot(epochs, values, color=color, label=name, linewidth=1.6, marker="o" if len(epochs) == 1 else None)
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if title in ("accuracy", "NMI"):
            axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
