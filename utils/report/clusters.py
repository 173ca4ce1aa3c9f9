"""Images of a report: a contact sheet for each discovered cluster, and the pairs of classes that are mixed up."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.evaluation.metrics import table_mapping
from utils.files import csv_text, write_text, write_whole
from utils.report.collect import Collection
from utils.report.plots.confusion import confused_pairs
from utils.report.plots.style import KNOWN, NOVEL
from utils.report.sheets import Tile, contact_sheet, typical_and_doubtful

TILES, MANY_CLUSTERS = (12, 8), 30  # of each kind; fewer where there are more clusters than these
PAIRS, EXAMPLES = 6, 8
HEADER = ("sheet", "group", "image", "true class", "probability", "margin", "distance")


@dataclass(frozen=True)
class Sheet:
    """The contact sheet of a cluster or of a pair.

    Args:
        title: what it shows.
        groups: (heading, images).
        rows: one for each image, as in ``HEADER``.
    """

    title: str
    groups: list[tuple[str, list[Tile]]]
    rows: list[tuple]


def counted(number: int) -> str:
    """``1 image``, ``1,234 images``."""
    return f"{number:,} image{'' if number == 1 else 's'}"


def cluster_sheets(found: Collection) -> list[Sheet]:
    """For each of the U clusters its most typical and most doubtful images of the novel training set."""
    part = found.sets["unlab/train"]
    if part is None:
        return []
    mapping = table_mapping(found.aware_table) if found.aware_table.sum() else {}
    count = TILES[found.num_novel > MANY_CLUSTERS]
    sheets = []
    for cluster in range(found.num_novel):
        rows = np.flatnonzero(part.cluster == cluster)
        label = found.num_labeled + mapping[cluster] if cluster in mapping else -1
        title = f"{found.outputs[found.num_labeled + cluster]}: {counted(len(rows))}"
        known = rows[part.labels[rows] >= 0]
        if label >= 0 and len(known):
            share = (part.labels[known] == label).mean()
            title += f", matched to {found.class_name(label)}, which {share:.1%} of them are"
        chosen = typical_and_doubtful(part.cluster_distance, part.cluster_margin, rows, count)
        numbers = (part.cluster_margin, part.cluster_distance)
        sheets.append(
            _sheet(
                found, title, "unlab/train", zip(("most typical", "most doubtful"), chosen, strict=True), label, numbers
            )
        )
    return sheets


def pair_sheets(found: Collection) -> list[Sheet]:
    """Images of the cells of the task-agnostic confusion matrix that hold most mistakes."""
    table = found.agnostic_table
    if not table.sum():
        return []
    mapping, sheets = table_mapping(table), []
    for label, output, number in confused_pairs(table, PAIRS):
        taken_for = found.class_name(mapping.get(output, -1)) or "no class"
        name = "lab/test" if label < found.num_labeled else "unlab/test"
        part = found.sets[name]
        assert part is not None  # it has images, for they are in the table
        rows = np.flatnonzero((part.labels == label) & (part.output == output))
        rows = rows[np.argsort(-part.margin[rows], kind="stable")][:EXAMPLES]
        share = number / table[label].sum()
        aside = "" if found.outputs[output] == taken_for else f" ({found.outputs[output]})"
        title = f"{found.class_name(label)} taken for {taken_for}{aside}: {counted(number)}, {share:.1%} of the class"
        sheets.append(_sheet(found, title, name, [("surest mistakes", rows)], -1, (part.margin, part.distance)))
    return sheets


def misclassified(found: Collection) -> list[tuple]:
    """Every test image that is wrong among all outputs after one Hungarian matching; the header first."""
    mapping = table_mapping(found.agnostic_table)
    rows: list[tuple] = [("image", "true class", "output", "matched class", "probability", "margin")]
    for name in ("lab/test", "unlab/test"):
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


def _sheet(found, title, name, groups, right, numbers) -> Sheet:
    """Tiles and table rows; frames tell right from wrong where ``right`` is a class."""
    part, tiles, table = found.sets[name], [], []
    margin, distance = numbers
    for heading, rows in groups:
        images = []
        for row in rows:
            truth, file = found.class_name(part.labels[row]), found.file_name(name, row)
            wrong = right >= 0 and truth and part.labels[row] != right
            caption = f"✗ {truth}" if wrong else truth or Path(file).name
            color = (NOVEL if wrong else KNOWN) if right >= 0 and truth else None
            images.append(Tile(found.picture(name, row), caption, color))
            values = (part.probability[row], margin[row], distance[row])
            table.append((title, heading, file, truth, *(f"{value:.4f}" for value in values)))
        if images:
            tiles.append((heading, images))
    return Sheet(title, tiles, table)


def save_sheets(sheets: Sequence[Sheet], folder: Path, name: str) -> None:
    """All sheets as the pages of ``<name>.pdf``, and their images listed in ``<name>.csv``."""
    pages = [contact_sheet(sheet.title, sheet.groups, columns=12) for sheet in sheets]
    data = io.BytesIO()
    pages[0].save(data, format="pdf", save_all=True, append_images=pages[1:], resolution=96)
    write_whole(folder / f"{name}.pdf", lambda file: file.write(data.getvalue()))
    write_text(folder / f"{name}.csv", csv_text(HEADER, [row for sheet in sheets for row in sheet.rows]))
