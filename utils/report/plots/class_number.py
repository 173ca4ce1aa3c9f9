"""The criterion by which a number of novel classes is chosen, over the candidates."""

from collections.abc import Mapping
from typing import Any

from utils.evaluation.class_number import Estimate
from utils.report.plots.style import COLORS, new_figure

WIDTH = 40  # characters of the longest bar


def criterion_text(found: Estimate, method: str) -> str:
    """The curve as bars of text, then the estimate and what comes near."""
    low, high = min(found.curve.values()), max(found.curve.values())
    lines = [f"criterion of '{method}' over the number of novel classes"]
    for k, value in found.curve.items():
        bar = "#" * round(WIDTH * (value - low) / ((high - low) or 1))
        lines.append(f"{k:>5}  {value:7.3f}  {bar}{'  <- best' if k == found.number else ''}")
    return "\n".join([*lines, f"estimated {found.number} novel classes; {found.certainty}"])


def plot_criterion(estimates: Mapping[str, Estimate]) -> Any:
    """A panel for each method: criterion, best candidate and those that come near; a matplotlib figure."""
    figure = new_figure(4.2 * len(estimates), 3.2)
    for axis, (method, found) in zip(
        figure.subplots(1, len(estimates), squeeze=False)[0], estimates.items(), strict=True
    ):
        axis.plot(list(found.curve), list(found.curve.values()), color=COLORS[0], marker="o", markersize=3)
        for k in found.near:
            axis.axvspan(k - 0.5, k + 0.5, color=COLORS[5], alpha=0.25, linewidth=0)
        axis.axvline(found.number, color=COLORS[1], label=f"estimated: {found.number}")
        axis.set(xlabel="number of novel classes", ylabel="criterion (no unit)", title=method)
        axis.legend(frameon=False, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
