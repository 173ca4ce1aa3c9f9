"""How all figures look: colours, a figure without a display, and one file for each use of it.

Colours are Okabe and Ito's, which colour-blind readers tell apart. Text and axes are drawn in ``INK``, which is almost
black on paper and becomes the page's own text colour in the report, light or dark.
"""

import io
import re
from html import escape
from pathlib import Path
from typing import Any

from utils.errors import printable
from utils.files import write_whole

INK = "#010101"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
KNOWN, NOVEL, MUTED = "#0072B2", "#D55E00", "#999999"
LONGEST = 32  # characters of a class's name on an axis, in a legend or on a map


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of this size in inches, transparent, with ``INK`` for text to come.

    As the value of a notebook's cell it shows itself: pyplot, which would do that, is not used here.
    """
    import matplotlib
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return _render(self, "png", dpi=130, facecolor="white")

    colors = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor")
    settings: dict[Any, Any] = {
        "axes.facecolor": "none",
        "svg.hashsalt": "report",
        "text.parse_math": False,
        **dict.fromkeys(colors, INK),
    }
    matplotlib.rcParams.update(settings)
    return ShownFigure(figsize=(width, height), layout="constrained", facecolor="none")


def shortened(name: str, longest: int = LONGEST) -> str:
    """A class's name for a figure: of a longer one the beginning and the end, where names differ.

    >>> shortened("n02123045"), shortened("a name that is far too long", 11)
    ('n02123045', 'a nam… long')
    """
    name, front = printable(name), longest // 2
    return name if len(name) <= longest else f"{name[:front]}…{name[len(name) - (longest - front - 1) :]}"


def save_png(figure: Any, path: Path) -> None:
    """A PNG on white at 130 dots an inch, whole or not at all."""
    _write(path, _render(figure, "png", dpi=130, facecolor="white"))


def save_pdf(figure: Any, path: Path) -> None:
    """A PDF for a paper, whole or not at all; equal figures give equal bytes."""
    _write(path, _render(figure, "pdf", metadata={"CreationDate": None}))


def to_svg(figure: Any, name: str, title: str) -> str:
    """An inline SVG whose text takes the page's colour.

    Args:
        figure: from :func:`new_figure`.
        name: prefix of all ids in it, so that several figures live on one page.
        title: what a screen reader says.
    """
    text = _render(figure, "svg", dpi=130, metadata={"Date": None}).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', lambda match: f"{match[1]}{name}-", text)
    text = text.replace(INK, "currentColor")
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    head = (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{width}pt" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[text.index(">") + 1 :]


def _render(figure: Any, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format=kind, **options)
    figure.set_layout_engine("none")  # found now; to find it again for every format takes longer than drawing
    return data.getvalue()


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content))
