"""One self-contained HTML page: text, tables, inline drawings and images, no script and nothing from the network."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import printable
from utils.files import write_text
from utils.report.sheets import PIXELS, Tile

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the browser refuses what is not in the page
NARROW, LONGEST = 14, 44  # characters of a name below a small image, and of any
STYLE = Path(__file__).with_name("page.css")


def escape(text: str) -> str:
    """Text for a page: markup, control characters and what is not UTF-8 are shown, not obeyed."""
    return html.escape(printable(text))


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the file.
        title, subtitle: plain text.
        sections: (heading, HTML) in order; those without HTML are left out.
    """
    sections = [(heading, body) for heading, body in sections if body]
    names = [heading.lower().replace(" ", "-") for heading, _ in sections]
    links = "".join(f'<a href="#{name}">{escape(h)}</a>' for name, (h, _) in zip(names, sections, strict=True))
    bodies = "".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>{body}</section>'
        for name, (heading, body) in zip(names, sections, strict=True)
    )
    write_text(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><link rel="icon" href="data:,"><title>{escape(title)}</title>'
        f"<style>{STYLE.read_text()}</style></head><body><header><h1>{escape(title)}</h1>"
        f"<p>{escape(subtitle)}</p></header><nav>{links}</nav><main>{bodies}</main></body></html>\n",
    )


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def code(text: str) -> str:
    """A command, as it is typed."""
    return f"<pre><code>{escape(text)}</code></pre>"


def card(title: str, body: str) -> str:
    """HTML with a title in a frame."""
    return f'<div class="cluster"><h3>{escape(title)}</h3>{body}</div>'


def side_by_side(parts: Iterable[str], kind: str = "drawings") -> str:
    """Pieces of HTML beside one another where the page is wide enough; nothing of nothing."""
    text = "".join(parts)
    return text and f'<div class="{kind}">{text}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """A table; with ``numbers`` all columns but the first are aligned right. It scrolls where it is too wide."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="numbers"' if numbers else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def drawing(svg: str, caption: str, files: str = "") -> str:
    """A figure with its caption; ``files`` is the stem of its files in ``figures/``."""
    where = f" <small>figures/{escape(files)}.pdf, .csv</small>" if files else ""
    below = f"<figcaption>{escape(caption)}{where}</figcaption>"
    return f'<figure class="drawing"><div class="scroll">{svg}</div>{below}</figure>'


def tiles(groups: Sequence[tuple[str, Sequence[Tile]]]) -> str:
    """Images in a row that breaks as the page needs, each group below its heading."""
    text = ""
    for heading, images in groups:
        figures = "".join(
            f'<figure class="tile" title="{escape(tile.name)}"><img src="{data_uri(tile.image)}" '
            f'alt="{escape(f"{tile.caption} {tile.name}".strip())}"'
            + ' class="pixels"' * (max(tile.image.shape[:2]) <= PIXELS)
            + (f' style="border-color:{tile.color}"' if tile.color else "")
            + f"><figcaption>{tile.caption and f'<b>{escape(tile.caption)}</b> '}"
            f"<span>{escape(_ending(tile.name))}</span></figcaption></figure>"
            for tile in images
        )
        large = any(max(tile.image.shape[:2]) > PIXELS or len(tile.name) > NARROW for tile in images)
        text += f'<h4>{escape(heading)}</h4><div class="tiles{" large" * large}">{figures}</div>'
    return text


def _ending(name: str) -> str:
    """The end of a long name: it tells the files of a series apart."""
    return name if len(name) <= LONGEST else "…" + name[-LONGEST:]


def data_uri(image: np.ndarray) -> str:
    """An image (h, w, 3) uint8 inside the page: small ones exactly, larger ones as JPEG."""
    picture, data = Image.fromarray(image), io.BytesIO()
    kind = "png" if max(image.shape[:2]) <= PIXELS else "jpeg"
    picture.save(data, format=kind, **({"quality": 85} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
