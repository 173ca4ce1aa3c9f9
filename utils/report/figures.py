"""The drawings of a report, each with its caption and its numbers, from a :class:`~utils.report.collect.Collection`."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.evaluation.metrics import cluster_acc
from utils.files import csv_text, write_text
from utils.report.collect import Collection
from utils.report.plots.bars import plot_class_accuracy, plot_heads
from utils.report.plots.confusion import CROWDED, class_accuracies, confusion_rows, plot_confusion
from utils.report.plots.curves import plot_curves
from utils.report.plots.embedding import plot_embedding, sample_rows, tsne
from utils.report.plots.style import save_pdf, save_png, to_svg
from utils.targets import DOCUMENT, FIGURE, Own, table_beginning, table_with

POINTS = ("x", "y", "class", "kind")
CONFUSIONS = [f"confusion-task-{kind}-{values}" for kind in ("aware", "agnostic") for values in ("rates", "counts")]
MAX_SHOWN = 68  # classes in the bars of the page


@dataclass(frozen=True)
class Drawing:
    """A figure with what belongs to it.

    Args:
        name: stem of its files.
        caption: what it shows, with units.
        figure: of matplotlib.
        rows: its numbers, the header first.
        size: ``medium`` or ``wide`` where it must not shrink to the width of a phone to be read; it scrolls there.
    """

    name: str
    caption: str
    figure: Any
    rows: Sequence[Iterable]
    size: str = ""

    def save(self, folder: Path, png: bool = False) -> None:
        """``<name>.pdf`` and ``<name>.csv`` in a folder, and a PNG if asked for."""
        if png:
            save_png(self.figure, folder / f"{self.name}.png")
        save_pdf(self.figure, folder / f"{self.name}.pdf")
        write_text(folder / f"{self.name}.csv", csv_text(self.rows[0], self.rows[1:]))

    def svg(self) -> str:
        """The figure for a page."""
        svg = to_svg(self.figure, self.name, self.caption)
        return svg.replace("<svg ", f'<svg class="{self.size}" ', 1) if self.size else svg


def curves(metrics_csv: Path) -> list[Drawing]:
    """The curves of a run; nothing where its ``metrics.csv`` is not there."""
    if not metrics_csv.is_file():
        return []
    with open(metrics_csv, newline="") as file:
        rows = list(csv.reader(file))
    caption = "Losses and constraints (no unit), accuracies (shares) and learning rate over the epochs."
    return [Drawing("curves", caption, plot_curves(metrics_csv, columns=2), rows, "medium")]


def confusions(found: Collection) -> list[Drawing]:
    """Task-aware and task-agnostic confusion matrices, as rates and as counts, of what has truth."""
    kinds = (
        (
            "task-aware",
            f"Novel images ({found.novel_set.replace('unlab/', '')}) against the clusters of the best head",
            found.aware_table,
            found.names[found.num_labeled :],
            found.outputs[found.num_labeled :],
            0,
        ),
        (
            "task-agnostic",
            f"All {found.judged_text} against all outputs, one matching over known and novel classes",
            found.agnostic_table,
            found.names,
            found.outputs,
            found.num_labeled,
        ),
    )
    drawings = []
    for kind, text, table, names, outputs, num_labeled in kinds:
        if not table.sum():
            continue
        for rates in (True, False):
            drawings.append(
                Drawing(
                    f"confusion-{kind}-{'rates' if rates else 'counts'}",
                    f"{text}; {'shares of each true class' if rates else 'numbers of images'}, Hungarian matching.",
                    plot_confusion(table, names, num_labeled, outputs, rates),
                    list(confusion_rows(table, names, outputs, rates)),
                    size="wide" if max(table.shape) > CROWDED else "",
                )
            )
    return drawings


def class_accuracy(found: Collection) -> list[Drawing]:
    """Accuracy of each class under both protocols, or under the one if generalized; nothing without truth."""
    if not found.agnostic_table.sum():
        return []
    agnostic = class_accuracies(found.agnostic_table)
    names = found.names[: len(agnostic)]
    if found.generalized:
        aware, numbers = None, {"accuracy": agnostic}
        caption = f"Share of each class that is right: {found.judged_text}, one matching over known and novel classes."
    else:
        aware = _aware_accuracies(found, len(agnostic))
        numbers = {"task-aware accuracy": aware, "task-agnostic accuracy": agnostic}
        caption = (
            "Share of each class that is right: bars task-aware (known among the known, novel among the novel), "
            "diamonds task-agnostic (among all outputs, one matching)."
        )
    if len(names) > MAX_SHOWN:
        caption += f" The novel and the worst known classes, {MAX_SHOWN} of {len(names)}; the CSV has all."
    figure = plot_class_accuracy(names, aware, agnostic, found.num_labeled, MAX_SHOWN)
    rows = [
        (name, "known" if label < found.num_labeled else "novel", *(f"{value:.4f}" for value in values))
        for label, (name, *values) in enumerate(zip(names, *numbers.values(), strict=True))
    ]
    header = ("class", "kind", *numbers)
    return [Drawing("class-accuracy", caption, figure, [header, *rows], "wide" if len(names) > 34 else "")]


def _aware_accuracies(found: Collection, num_classes: int) -> np.ndarray:
    """(C,) known classes among the known, novel among the novel; NaN where there are no images."""
    aware = np.full(num_classes, np.nan)
    known = found.sets["lab/test"]
    if known is not None:
        right = np.bincount(known.labels[known.known == known.labels], minlength=found.num_labeled)
        total = np.bincount(known.labels, minlength=found.num_labeled)
        aware[: found.num_labeled] = np.where(total > 0, right / np.maximum(total, 1), np.nan)
    novel = class_accuracies(found.aware_table)
    aware[found.num_labeled : found.num_labeled + len(novel)] = novel
    return aware


def heads(found: Collection) -> list[Drawing]:
    """The clustering heads compared: losses, and accuracies where there is truth; nothing if there is only one list."""
    if found.generalized:
        return []
    losses = found.discoverer.loss_per_head.cpu().numpy()
    accuracies = {}
    for title, name in (
        ("novel, train: accuracy (share)", "unlab/train"),
        ("novel, test: accuracy (share)", "unlab/test"),
    ):
        part = found.sets[name]
        if part is not None and (part.labels >= 0).any():
            known = part.labels >= 0
            truth = part.labels[known] - found.num_labeled
            accuracies[title] = np.array([cluster_acc(truth, head[known]) for head in part.heads])
    best = int(found.discoverer.best_head)
    rows = [
        (head, *(f"{values[head]:.4f}" for values in (losses, *accuracies.values())), "yes" if head == best else "")
        for head in range(len(losses))
    ]
    header = ("head", "cluster loss, sum over the last epoch", *accuracies, "best")
    caption = "The clustering heads. The best one has the smallest cluster loss; no label of a novel class is used."
    return [Drawing("heads", caption, plot_heads(losses, accuracies, best), [header, *rows], "medium")]


def features(found: Collection, seed: int = 0) -> list[Drawing]:
    """t-SNE of the encoder's features: test images, or the novel training images where there are none."""
    sets = (found.sets[name] for name in ("lab/test", found.novel_set))
    parts = [part for part in sets if part is not None]
    if sum(map(len, parts)) < 10:
        return []
    joined = np.concatenate([part.features for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    outputs = [part.output if found.generalized else found.num_labeled + part.cluster for part in parts]
    names, what = found.names, "true classes"
    if (labels < 0).any():  # nobody knows: the outputs stand in for the classes
        labels = np.where(labels < 0, np.concatenate(outputs), labels)
        names, what = tuple(found.outputs), "known classes and discovered clusters"
    rows = sample_rows(labels, seed=seed)
    points, labels = tsne(joined[rows], seed), labels[rows]
    table = [
        (f"{x:.4f}", f"{y:.4f}", names[label], "known" if label < found.num_labeled else "novel")
        for (x, y), label in zip(points, labels, strict=True)
    ]
    caption = (
        f"t-SNE of the encoder's features of {len(rows):,} images, by {what}: circles in cool colours are known, other "
        "shapes in warm colours novel. Only neighbourhoods mean something, neither axes nor distances."
    )
    figure = plot_embedding(points, labels, names, found.num_labeled)
    return [Drawing("features", caption, figure, [POINTS, *table])]


def drawing_files(name: str, table: Own) -> dict[str, Own]:
    """Files of a drawing that :func:`save_drawings` writes -> what may be overwritten there."""
    return {f"{name}.pdf": DOCUMENT, f"{name}.png": FIGURE, f"{name}.csv": table}


def features_files() -> dict[str, Own]:
    """Those of :func:`features`."""
    return drawing_files("features", table_with(*POINTS))


def confusion_files() -> dict[str, Own]:
    """Those of :func:`confusions`; the columns of their tables are the outputs, whatever their names are."""
    table = table_beginning("true class")
    return {file: own for name in CONFUSIONS for file, own in drawing_files(name, table).items()}


def save_drawings(drawings: Sequence[Drawing], folder: Path, checkpoint: str) -> None:
    """PDF, PNG and CSV of each drawing, for the scripts; says where.

    Raises:
        UserError: when there is nothing to draw of the checkpoint.
    """
    if not drawings:
        raise UserError(f"{checkpoint}: nothing can be drawn, for no image of its dataset has a known class")
    for drawing in drawings:
        drawing.save(folder, png=True)
        print(f"figure    {folder / drawing.name}.pdf, .png, .csv")
