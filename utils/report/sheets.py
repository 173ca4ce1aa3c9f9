"""Contact sheets: many small images on one page, each with a line of text below it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.files import write_whole

SIDE, GAP, LINE = 72, 8, 14  # pixels: of an image, between two, of a line of text
COLUMNS = 8


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Args:
        image: (h, w, 3) uint8.
        caption: the line below it.
        color: of a frame around it, or None.
    """

    image: np.ndarray
    caption: str = ""
    color: str | None = None


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


def contact_sheet(title: str, groups: Sequence[tuple[str, Sequence[Tile]]], columns: int = COLUMNS) -> Image.Image:
    """A white page with a title and, below the heading of each group, its images in rows; black text."""
    lines = [max(1, -(-len(tiles) // columns)) for _, tiles in groups]
    row = SIDE + LINE + GAP
    size = (GAP + columns * (SIDE + GAP), 3 * GAP + 2 * LINE + sum(n * row + LINE + GAP for n in lines))
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(16), ImageFont.load_default(11)
    draw.text((GAP, GAP), title, "black", font=large)
    top = 2 * GAP + 2 * LINE
    for (heading, tiles), count in zip(groups, lines, strict=True):
        draw.text((GAP, top), heading, "#444444", font=small)
        top += LINE + GAP // 2
        for place, tile in enumerate(tiles):
            x, y = GAP + place % columns * (SIDE + GAP), top + place // columns * row
            if tile.color:
                draw.rectangle((x - 3, y - 3, x + SIDE + 2, y + SIDE + 2), fill=tile.color)
            page.paste(_thumbnail(tile.image), (x, y))
            draw.text((x, y + SIDE + 3), _shorten(draw, tile.caption, small), "black", font=small)
        top += count * row + GAP // 2
    return page


def _thumbnail(image: np.ndarray) -> Image.Image:
    """``SIDE`` pixels square; small images keep their pixels visible."""
    enlarged = image.shape[0] < SIDE
    return Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The text, cut to the width of an image."""
    if draw.textlength(text, font=font) <= SIDE + GAP // 2:
        return text
    while text and draw.textlength(text + "…", font=font) > SIDE + GAP // 2:
        text = text[:-1]
    return text + "…"


def save_sheet(page: Image.Image, path: Path) -> None:
    """A PNG, whole or not at all."""
    data = io.BytesIO()
    page.save(data, format="png")
    write_whole(path, lambda file: file.write(data.getvalue()))
