"""The curves of a run."""

import csv
from pathlib import Path
from typing import Any

from utils.report.plots.style import COLORS, new_figure

LOSSES, CONSTRAINTS = "training loss", "constraints (unweighted)"
SHAPES, MARKED = "osD^vPX", 24  # a curve has about so many marks

# (title, logged key -> name in the legend). What is measured in another way, as the published test loss is, without
# temperature, has a panel of its own.
PANELS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        LOSSES,
        {
            "loss": "total",
            "loss_cluster": "clustering",
            "loss_overcluster": "over-clustering",
            "loss_supervised": "supervised",
            "loss_instance": "instance",
            "loss_feature": "feature",
            "entropy": "entropy",
        },
    ),
    (CONSTRAINTS, {"inter_loss": "inter-class", "intra_loss": "intra-class", "mse_loss": "squared error"}),
    ("test loss, without temperature", {"val/loss_supervised": "supervised"}),
    (
        "accuracy",
        {
            "unlab/train/acc/best": "novel, train, best head",
            "unlab/test/acc/best": "novel, test, best head",
            "unlab/test/acc/avg": "novel, test, mean of heads",
            "lab/test/acc": "known, test",
            "unlab/train/acc/all": "all unlabelled, train",
            "unlab/train/acc/old": "known, unlabelled, train",
            "unlab/train/acc/new": "novel, train",
            "test/acc/all": "all, test",
            "test/acc/old": "known, test",
            "test/acc/new": "novel, test",
            "joint/all": "known and novel together, test",
            "val/acc": "known, test",
            "backbone/acc": "backbone",
            "feature/acc": "last layer",
        },
    ),
    ("NMI", {"backbone/nmi": "backbone", "feature/nmi": "last layer"}),
    ("learning rate", {"lr": "learning rate"}),
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
    if "joint/novel" not in logged:
        logged.pop("joint/all", None)  # of known classes alone
    others = {
        LOSSES: {key: key.removeprefix("loss_") for key in logged if key.startswith("loss_")},
        CONSTRAINTS: {key: key.removesuffix("_loss") for key in logged if key.endswith("_loss")},
    }
    panels = []
    for title, names in PANELS:
        names = names | {key: name for key, name in others.get(title, {}).items() if key not in names}
        shown = [(key, name) for key, name in names.items() if key in logged]
        if shown:
            panels.append((title, shown))
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(4.2 * columns, 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(panels) :]:
        axis.remove()
    for axis, (title, shown) in zip(axes, panels, strict=False):
        for turn, (key, name) in enumerate(shown):
            epochs, values = logged[key]
            look: dict[str, Any] = {"color": COLORS[turn % len(COLORS)], "marker": SHAPES[turn % len(SHAPES)]}
            axis.plot(
                epochs, values, label=name, linewidth=1.4, markersize=4, markevery=max(1, len(epochs) // MARKED), **look
            )
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if max(epochs) == 1:
            axis.set_xticks([1])  # the locator would put fractions of an epoch around it
        if title in ("accuracy", "NMI"):
            axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.25)
        if len(shown) > 1 or shown[0][1] != title:
            axis.legend(fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
