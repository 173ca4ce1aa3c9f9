"""A protocol's rows as a dot plot: one point a seed, the mean marked."""

from collections.abc import Sequence
from pathlib import Path

from utils.comparison.protocols import Protocol
from utils.comparison.rows import Row, mean_and_deviation, numbers, rows_of
from utils.errors import UserError

KEY = "unlab/test/acc/best"


def dot_plot(protocol: Protocol, rows: Sequence[Row], methods: Sequence[str], more: str, path: Path) -> None:
    """Write the picture.

    Raises:
        UserError: when there is no row to show.
    """
    rows, values = rows_of(rows, protocol.seeds, more), {}
    for method in methods:
        there = [row for row in rows if row["method"] == method]
        if found := [100 * value for value in numbers(there, KEY)]:
            values[method] = found
    if not values:
        raise UserError(f"{protocol.name} has no rows to show; run it first")
    from utils.report.plots.style import COLORS, INK, new_figure, save_png

    order = sorted(values, key=lambda method: mean_and_deviation(values[method])[0])
    figure = new_figure(7, 1 + 0.3 * len(order))
    axes = figure.add_subplot()
    for place, method in enumerate(order):
        mean, _ = mean_and_deviation(values[method])
        axes.plot(values[method], [place] * len(values[method]), "o", color=COLORS[0], alpha=0.6, markersize=5)
        axes.plot([mean], [place], "|", color=INK, markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xlabel("accuracy on novel test images (%), best head; a point a seed, the line is the mean")
    axes.set_title(protocol.name)
    axes.grid(axis="both", alpha=0.3)
    save_png(figure, path)
