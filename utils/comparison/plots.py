"""A protocol's rows as a dot plot: one point a seed, the mean marked."""

import statistics
from pathlib import Path

from utils.comparison.rows import numbers
from utils.comparison.selection import Selection
from utils.errors import UserError
from utils.targets import FIGURE, require_target

KEY = "unlab/test/acc/best"


def require_picture(path: Path) -> None:
    """Refuse a file that is no picture of this program, before the work.

    Raises:
        UserError: saying why.
    """
    if path.suffix != ".png":
        raise UserError(f"--plot {path} is to be a PNG; give a name that ends in .png")
    require_target("plot", path, FIGURE, force=None)


def dot_plot(title: str, selection: Selection, path: Path) -> None:
    """Write the picture.

    Raises:
        UserError: when there is no row to show.
    """
    values = {}
    for method in selection.names:
        there = [row for row in selection.rows if row["method"] == method]
        if found := [100 * value for value in numbers(there, KEY)]:
            values[method] = found
    if not values:
        raise UserError(" ".join([f"{title} has no rows to show; run it first.", *selection.left_out()]))
    from utils.report.plots.style import COLORS, INK, new_figure, save_png

    order = sorted(values, key=lambda method: statistics.fmean(values[method]))
    figure = new_figure(7, 1 + 0.3 * len(order))
    axes = figure.add_subplot()
    for place, method in enumerate(order):
        axes.plot(values[method], [place] * len(values[method]), "o", color=COLORS[0], alpha=0.6, markersize=5)
        axes.plot([statistics.fmean(values[method])], [place], "|", color=INK, markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xlabel("accuracy on novel test images (%), best head; a point a seed, the line is the mean")
    axes.set_title(title)
    axes.grid(axis="both", alpha=0.3)
    save_png(figure, path)
