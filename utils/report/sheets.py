"""Contact sheets: many images on one page, each with its name and a line of text below it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.errors import printable
from utils.files import write_whole

SIDE, GAP, LINE = 160, 10, 15  # pixels: of an image, between two, of a line of text
NEAR_KNOWN = "nearest to a known class"
COLUMNS = 8
PIXELS = 64  # images up to this side are enlarged so that each of their pixels can be seen


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Args:
        image: (h, w, 3) uint8.
        caption: the line below it.
        color: of a frame around it, or None.
        name: a second line: of the file, or where in its dataset the image is.
    """

    image: np.ndarray
    caption: str = ""
    color: str | None = None
    name: str = ""


def counted(number: int) -> str:
    """``1 image``, ``1,234 images``."""
    return f"{number:,} image{'' if number == 1 else 's'}"


def typical_and_doubtful(
    distance: np.ndarray, margin: np.ndarray, rows: np.ndarray, count: int = COLUMNS
) -> tuple[np.ndarray, np.ndarray]:
    """Of ``rows`` those nearest to their prototype, and of the others those with the smallest margin.

    Args:
        distance, margin: (N,), of all samples.
        rows: (M,) the samples of one class.
        count: at most this many of each kind; of few rows each kind gets half.
    """
    count = min(count, (len(rows) + 1) // 2)
    by_distance = rows[np.argsort(distance[rows], kind="stable")]
    typical, others = by_distance[:count], by_distance[count:]
    return typical, others[np.argsort(margin[others], kind="stable")[:count]]


def nearest_to_known(known_probability: np.ndarray, rows: np.ndarray, count: int = COLUMNS) -> np.ndarray:
    """Of ``rows`` those with the highest probability of a known class, the first one first.

    Args:
        known_probability: (N,), of all samples.
        rows: (M,) the samples of one novel class.
        count: at most this many.
    """
    return rows[np.argsort(-known_probability[rows], kind="stable")][:count]


def contact_sheet(
    title: str, groups: Sequence[tuple[str, Sequence[Tile]]], columns: int = COLUMNS, side: int = SIDE
) -> Image.Image:
    """A white page with a title and, below the heading of each group, its images in rows; black text.

    Args:
        title: breaks into lines where it is wider than the page.
        groups: (heading, images).
        columns: images in a row.
        side: pixels of an image; each is shown whole.
    """
    large, small = _font(16), _font(11)
    width = GAP + columns * (side + GAP)
    titles = _lines(printable(title), width - 2 * GAP, large)
    row = side + 2 * LINE + GAP
    rows = [max(1, -(-len(tiles) // columns)) for _, tiles in groups]
    top = 2 * GAP + round(1.5 * LINE) * len(titles)
    page = Image.new("RGB", (width, top + sum(n * row + LINE + GAP for n in rows)), "white")
    draw = ImageDraw.Draw(page)
    draw.multiline_text((GAP, GAP), "\n".join(titles), "black", font=large)
    for (heading, tiles), count in zip(groups, rows, strict=True):
        draw.text((GAP, top), heading, "#444444", font=small)
        top += LINE + GAP // 2
        for place, tile in enumerate(tiles):
            x, y = GAP + place % columns * (side + GAP), top + place // columns * row
            if tile.color:
                draw.rectangle((x - 3, y - 3, x + side + 2, y + side + 2), fill=tile.color)
                draw.rectangle((x, y, x + side - 1, y + side - 1), fill="white")
            image = _fitted(tile.image, side)
            page.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))
            lines = _cut(tile.caption, side, small, end=False), _cut(tile.name, side, small, end=True)
            for turn, text in enumerate(filter(None, lines)):
                draw.text((x, y + side + 4 + turn * LINE), text, "black", font=small)
        top += count * row + GAP // 2
    return page


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font has hardly any space between words, and no ✗."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _fitted(image: np.ndarray, side: int) -> Image.Image:
    """As large as a square of ``side`` pixels allows; small images keep their pixels visible."""
    picture, longest = Image.fromarray(image), max(image.shape[:2])
    if longest <= PIXELS:
        times = max(1, side // longest)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    size = (max(1, round(length * side / longest)) for length in picture.size)
    return picture.resize(tuple(size), Image.Resampling.LANCZOS)


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont, end: bool) -> str:
    """As much of the beginning as fits, or of the end, which tells the files of a series apart."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    shorter = ("…" + text[n:] if end else text[:-n] + "…" for n in range(1, len(text)))
    return next((shown for shown in shorter if font.getlength(shown) <= width), "…")


def _lines(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """The text in lines of at most this width, parted between words where there are any."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if font.getlength(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return lines


def save_sheet(page: Image.Image, path: Path) -> None:
    """A PNG, whole or not at all."""
    data = io.BytesIO()
    page.save(data, format="png")
    write_whole(path, lambda file: file.write(data.getvalue()))
