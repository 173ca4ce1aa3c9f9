"""Images of a report: a contact sheet for each discovered cluster, and the pairs of classes that are mixed up."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.distributed import say
from utils.errors import UserError, printable
from utils.evaluation.metrics import table_mapping
from utils.files import csv_text, write_text, write_whole
from utils.report.collect import Collection
from utils.report.plots.confusion import confused_pairs
from utils.report.plots.style import KNOWN, NOVEL
from utils.report.sheets import NEAR_KNOWN, Tile, contact_sheet, counted, nearest_to_known, typical_and_doubtful
from utils.targets import DOCUMENT, Own, table_with

# Clusters up to -> images of each kind, pixels of their longer side: a page of about 10 MB at most.
TILES = ((12, 12, 320), (30, 12, 224), (100, 8, 160), (sys.maxsize, 4, 112))
PAIRS, EXAMPLES, EXAMPLE_SIDE = 6, 8, 224
PRINTED_SIDE, JPEG_QUALITY = 144, 92  # of the images in the PDF
NOT_SHOWN = ""
WRONG = ("image", "true class", "output", "matched class", "probability", "margin")
PAIR_SHEETS = "confused-pairs"
HEADER = (
    *("sheet", "group", "image", "true class", "probability", "margin", "distance"),
    *("nearest known class", "its probability"),
)


@dataclass(frozen=True)
class Sheet:
    """The contact sheet of a cluster or of a pair.

    Args:
        name: of the cluster or pair.
        title: what it shows.
        groups: (heading, images).
        rows: one for each image, as in ``HEADER``; those that are not shown have no group.
    """

    name: str
    title: str
    groups: list[tuple[str, list[Tile]]]
    rows: list[tuple]


def cluster_sheets(found: Collection) -> list[Sheet]:
    """For each of the U clusters its most typical and most doubtful images of the novel training set.

    If generalized, for each of the L+U outputs, and for a novel one the images that are nearest to a known class too.
    """
    part = found.sets["unlab/train"]
    if part is None:
        return []
    if found.generalized:
        first, table = 0, found.agnostic_table
    else:  # all of them are known to be of novel classes
        first, table, part = found.num_labeled, found.aware_table, part.among_novel(found.num_labeled)
    mapping = {first + cluster: first + label for cluster, label in table_mapping(table).items()} if table.sum() else {}
    shown = range(first, len(found.outputs))
    count, side = next((count, side) for clusters, count, side in TILES if len(shown) <= clusters)
    sheets = []
    for output in shown:
        rows = np.flatnonzero(part.output == output)
        name, label = found.outputs[output], mapping.get(output, -1)
        title = f"{name}: {counted(len(rows))}"
        known = rows[part.labels[rows] >= 0]
        if label >= 0 and len(known):
            share = (part.labels[known] == label).mean()
            title += f", matched to {found.class_name(label)} ({share:.1%} of them)"
        typical, doubtful = typical_and_doubtful(part.distance, part.margin, rows, count)
        groups = {"most typical": typical, "most doubtful": doubtful}
        if found.generalized and output >= found.num_labeled:
            groups[NEAR_KNOWN] = nearest_to_known(part.known_probability, rows, count)
        rest = rows[~np.isin(rows, np.concatenate(list(groups.values())))]
        groups[NOT_SHOWN] = rest[np.argsort(part.distance[rest], kind="stable")]
        numbers = (part.probability, part.margin, part.distance)
        sheets.append(_sheet(found, (name, title), "unlab/train", groups, label, numbers, side))
    return sheets


def pair_sheets(found: Collection) -> list[Sheet]:
    """Images of the cells of the task-agnostic confusion matrix that hold most mistakes."""
    table = found.agnostic_table
    if not table.sum():
        return []
    mapping, sheets = table_mapping(table), []
    for label, output, number in confused_pairs(table, PAIRS):
        taken_for = found.class_name(mapping.get(output, -1)) or "no class"
        place = found.judged[label >= found.num_labeled] if len(found.judged) == 2 else found.judged[0]
        part = found.sets[place]
        assert part is not None  # it has images, for they are in the table
        rows = np.flatnonzero((part.labels == label) & (part.output == output))
        rows = rows[np.argsort(-part.margin[rows], kind="stable")][:EXAMPLES]
        share = number / table[label].sum()
        aside = "" if found.outputs[output] == taken_for else f" ({found.outputs[output]})"
        name = f"{found.class_name(label)} taken for {taken_for}{aside}"
        title = f"{name}: {counted(number)}, {share:.1%} of the class"
        numbers = (part.probability, part.margin, part.distance)
        sheets.append(_sheet(found, (name, title), place, {"surest mistakes": rows}, -1, numbers, EXAMPLE_SIDE))
    return sheets


def misclassified(found: Collection) -> list[tuple]:
    """Every image of the judged sets that is wrong among all outputs after one Hungarian matching; the header first."""
    mapping = table_mapping(found.agnostic_table)
    rows: list[tuple] = [WRONG]
    for name in found.judged:
        part = found.sets[name]
        if part is None:
            continue
        for row in range(len(part)):
            label, output = int(part.labels[row]), int(part.output[row])
            if label >= 0 and mapping.get(output) != label:
                matched = found.class_name(mapping.get(output, -1))
                numbers = (f"{part.probability[row]:.4f}", f"{part.margin[row]:.4f}")
                rows.append((found.file_name(name, row), found.names[label], found.outputs[output], matched, *numbers))
    return rows


def _sheet(
    found: Collection,
    names: tuple[str, str],
    place: str,
    groups: Mapping[str, np.ndarray],
    right: int,
    numbers: tuple[np.ndarray, np.ndarray, np.ndarray],
    side: int,
) -> Sheet:
    """Tiles and table rows; frames tell right from wrong where ``right`` is a class."""
    part, tiles, table = found.sets[place], [], []
    assert part is not None
    for heading, rows in groups.items():
        images = []
        for row in rows:
            truth, file = found.class_name(part.labels[row]), found.file_name(place, row)
            near = (found.outputs[part.known[row]], f"{part.known_probability[row]:.4f}")
            table.append((names[0], heading, file, truth, *(f"{values[row]:.4f}" for values in numbers), *near))
            if heading == NOT_SHOWN:
                continue
            wrong = right >= 0 and truth and part.labels[row] != right
            caption = f"✗ {truth}" if wrong else truth
            color = (NOVEL if wrong else KNOWN) if right >= 0 and truth else None
            images.append(Tile(_picture(found, place, row, side), caption, color, Path(file).name))
        if images:
            tiles.append((heading, images))
    return Sheet(*names, tiles, table)


def _picture(found: Collection, place: str, row: int, side: int) -> np.ndarray:
    """The image, or gray where its file is no longer there or no longer an image."""
    try:
        return found.picture(place, row, side)
    except UserError as error:
        say(f"warning: {printable(str(error))}; it is gray in the report")
        return np.full((side, side, 3), 128, np.uint8)


def save_sheets(sheets: Sequence[Sheet], folder: Path, name: str) -> None:
    """All sheets as the pages of ``<name>.pdf``, and their images listed in ``<name>.csv``."""
    columns = max(4, max(len(tiles) for sheet in sheets for _, tiles in sheet.groups or [("", [])]) // 2)
    pages = [contact_sheet(sheet.title, sheet.groups, columns, PRINTED_SIDE) for sheet in sheets]
    data = io.BytesIO()
    options = {"resolution": 96, "quality": JPEG_QUALITY, "subsampling": 0}
    pages[0].save(data, format="pdf", save_all=True, append_images=pages[1:], **options)
    write_whole(folder / f"{name}.pdf", lambda file: file.write(data.getvalue()))
    write_text(folder / f"{name}.csv", csv_text(HEADER, [row for sheet in sheets for row in sheet.rows]))


def misclassified_files() -> dict[str, Own]:
    """Files of the wrong images and of their sheets -> what may be overwritten there."""
    sheets = {f"{PAIR_SHEETS}.pdf": DOCUMENT, f"{PAIR_SHEETS}.csv": table_with(*HEADER)}
    return {"misclassified.csv": table_with(*WRONG), **sheets}


def remove_sheets(folder: Path, name: str) -> None:
    """Take away what :func:`save_sheets` has left under a name."""
    for suffix in (".pdf", ".csv"):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
