"""Accuracies side by side: of the classes, and of the heads."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.report.plots.style import INK, KNOWN, MUTED, NOVEL, new_figure, shortened

PER_PANEL, MAX_CLASSES = 34, 136


def shown_classes(accuracies: np.ndarray, num_known: int, limit: int = MAX_CLASSES) -> np.ndarray:
    """Sorted rows of at most ``limit`` classes: the novel ones first, then the known ones with the lowest accuracy."""
    known = np.argsort(np.nan_to_num(accuracies[:num_known], nan=2.0), kind="stable")
    novel = np.arange(num_known, len(accuracies))
    return np.sort(np.concatenate([novel, known])[:limit])


def plot_class_accuracy(
    names: Sequence[str], aware: np.ndarray | None, agnostic: np.ndarray, num_known: int, limit: int = MAX_CLASSES
) -> Any:
    """A bar for each class; a matplotlib figure.

    Args:
        names: of the C classes, known ones first.
        aware, agnostic: (C,) accuracies in 0..1 under the task-aware protocol (bars) and the joint one (diamonds);
            without the first the bars are of the second.
        num_known: how many are known.
        limit: classes drawn at most.
    """
    names = [shortened(name) for name in names]
    rows = shown_classes(agnostic, num_known, limit)
    panels = [rows[start : start + PER_PANEL] for start in range(0, len(rows), PER_PANEL)]
    longest = max((len(names[row]) for row in rows), default=1)
    width = 3.4 + 0.08 * longest if len(panels) > 1 else 6.5
    height = 1.3 + 0.22 * max(map(len, panels))
    figure = new_figure(width * len(panels), height)
    for axis, part in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        places = np.arange(len(part))
        for color, label, here in ((KNOWN, "known", part < num_known), (NOVEL, "novel", part >= num_known)):
            if here.any():
                values, told = (agnostic, label) if aware is None else (aware, f"{label}, task-aware")
                axis.barh(places[here], values[part[here]], height=0.62, color=color, label=told)
        if aware is not None:
            axis.plot(
                agnostic[part], places, "D", markersize=4.5, color=INK, markeredgecolor="white", label="task-agnostic"
            )
        axis.set(xlim=(0, 1.03), ylim=(PER_PANEL - 0.4 if len(panels) > 1 else len(part) - 0.4, -0.6))
        axis.set_xlabel("accuracy (share of the class)")
        axis.set_yticks(places, [names[row] for row in part], fontsize=9)
        axis.grid(axis="x", alpha=0.25)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    handles = {
        label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def plot_heads(losses: np.ndarray, accuracies: dict[str, np.ndarray], best_head: int) -> Any:
    """Cluster loss of every head, by which the best one is chosen, beside their accuracies; a matplotlib figure.

    Args:
        losses: (H,) cluster loss, summed over the last training epoch.
        accuracies: title -> (H,) in 0..1; empty without truth.
        best_head: the chosen one, drawn in another colour.
    """
    panels = [("cluster loss (training, no unit)", losses), *accuracies.items()]
    figure = new_figure(3.3 * len(panels), 2.9)
    colors = [NOVEL if head == best_head else MUTED for head in range(len(losses))]
    for axis, (title, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        bars = axis.bar(range(len(values)), values, color=colors, width=0.65)
        axis.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
        axis.set_xticks(range(len(values)), [f"{h}\nbest" if h == best_head else str(h) for h in range(len(values))])
        axis.set(xlabel="head", title=title)
        axis.title.set_fontsize(10)
        axis.margins(y=0.15)
        if title in accuracies:
            axis.set_ylim(0, 1.12)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
