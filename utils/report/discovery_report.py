"""The report of a discovery run: ``report.html``, one self-contained page, and its figures as PDF and CSV."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import yaml

from utils.cli.methods import Method
from utils.report import clusters, figures, page
from utils.report.attempts import Attempts
from utils.report.collect import Collection
from utils.report.published import published
from utils.report.reproduce import reproduce_command
from utils.report.tables import INCREMENTAL, PARTS, ROWS, generalized_rows, joint_rows, metric_rows


def write_report(found: Collection, metrics: Mapping[str, float], folder: Path, log: Path | None = None) -> Path:
    """Write ``report.html`` and ``figures/`` into a folder.

    Args:
        found: predictions of the checkpoint.
        metrics: logged key -> value; what is absent is left out.
        folder: of the run.
        log: the run's ``metrics.csv``, for the curves.

    Returns:
        the page.
    """
    attempt = Attempts()
    made: dict[str, list[clusters.Sheet]] = {
        "clusters": attempt("Clusters", lambda: clusters.cluster_sheets(found), []),
        "confused-pairs": attempt("Confused pairs", lambda: clusters.pair_sheets(found), []),
    }
    drawings: dict[str, Sequence[figures.Drawing]] = {
        "Curves": attempt("Curves", lambda: figures.curves(log) if log is not None else [], []),
        "Confusion": attempt("Confusion", lambda: figures.confusions(found), []),
        "Classes": attempt("Classes", lambda: figures.class_accuracy(found), []),
        "Features": attempt("Features", lambda: figures.features(found), []),
        "Heads": attempt("Heads", lambda: figures.heads(found), []),
    }
    shown = {
        heading: page.side_by_side(
            attempt(f"{heading}: {drawing.name}", partial(_kept, drawing, folder / "figures"), "") for drawing in group
        )
        for heading, group in drawings.items()
    }
    for name, group in made.items():
        if group:
            attempt(f"{name}.pdf", partial(clusters.save_sheets, group, folder / "figures", name), None)
        else:
            clusters.remove_sheets(folder / "figures", name)  # of another run in this folder
    sheets = {
        "Clusters": attempt("Clusters", lambda: cluster_section(found, made["clusters"]), ""),
        "Confused pairs": attempt(
            "Confused pairs", lambda: page.side_by_side(cards(made["confused-pairs"]), "cards"), ""
        ),
    }
    hparams = found.discoverer.hparams
    path = folder / "report.html"
    page.write_page(
        path,
        f"Discovery: {hparams['dataset']}, {found.num_labeled} known and {found.num_novel} novel classes",
        f"{folder.name} · {discovery_text(found)}",
        [
            ("Summary", summary(found, metrics)),
            ("Not drawn", failures(attempt.failed)),
            ("Clusters", sheets["Clusters"]),
            ("Confusion", shown["Confusion"]),
            ("Confused pairs", sheets["Confused pairs"]),
            ("Classes", shown["Classes"]),
            ("Features", shown["Features"]),
            ("Heads", shown["Heads"]),
            ("Curves", shown["Curves"]),
            ("Settings", settings(hparams, found.discoverer.method)),
        ],
    )
    return path


def _kept(drawing: figures.Drawing, folder: Path) -> str:
    """The drawing for the page, and its files."""
    drawing.save(folder)
    return page.drawing(drawing.svg(), drawing.caption, drawing.name)


def failures(failed: Mapping[str, str]) -> str:
    """What could not be drawn, and why."""
    if not failed:
        return ""
    text = "These pieces of the report failed; the others are here, and the run itself is not affected."
    return page.paragraph(text) + page.table(("piece", "reason"), failed.items(), numbers=False)


def discovery_text(found: Collection) -> str:
    """The images in one line."""
    counts = {name: 0 if part is None else len(part) for name, part in found.sets.items()}
    return (
        f"{counts['unlab/train']:,} unlabelled training images; test images: {counts['lab/test']:,} of known and "
        f"{counts['unlab/test']:,} of novel classes"
    )


def summary(found: Collection, metrics: Mapping[str, float]) -> str:
    """Tables of the metrics in per cent, with the published values of the split where there are any."""
    text = ""
    for title, rows in (
        ("Task-aware: known classes among the known, novel ones among the novel", ROWS),
        ("Task-agnostic: among all outputs, novel images matched on their own, as published", INCREMENTAL),
    ):
        measures, found_rows = metric_rows(metrics, rows)
        if found_rows:
            text += page.heading(title) + _percentages(measures, found_rows)
    generalized = generalized_rows(metrics)
    if generalized:
        text += page.heading("One matching over known and novel classes together")
        text += _percentages([name for name, _ in PARTS], generalized)
    kinds, joint = joint_rows(metrics)
    if joint:
        text += page.heading(f"Task-agnostic: one matching over {kinds} test images{' together' * (len(joint) > 1)}")
        text += page.table(("", "accuracy (%)"), [(name, f"{100 * value:.1f}") for name, value in joint])
    if not text:
        text = page.paragraph("No image has a known class, so that no accuracy can be given; the clusters are below.")
    elif not generalized and not metric_rows(metrics, [row for row in ROWS if row[1].startswith("unlab")])[1]:
        text += page.paragraph(
            "Nobody knows the classes of the unlabelled images: accuracies of novel classes are absent."
        )
    values = published(found.discoverer.hparams["dataset"], found.num_labeled, found.num_novel)
    if values and not found.generalized:
        text += page.paragraph(f"Published for this split, novel training images (task-aware): {values}.")
    return text


def _percentages(names: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """A table of shares in per cent; those that are absent are empty cells."""
    cells = [(title, *("" if value is None else f"{100 * value:.1f}" for value in values)) for title, values in rows]
    return page.table(("", *(f"{name} (%)" for name in names)), cells)


def cluster_section(found: Collection, sheets: Sequence[clusters.Sheet]) -> str:
    """All contact sheets with what the frames mean."""
    text = (
        "The unlabelled training images by the best head's cluster: those nearest to its prototype, and those "
        "with the smallest margin to another cluster."
    )
    if found.generalized:
        text = (
            "The unlabelled training images by class, known ones first: those nearest to the prototype, those with the "
            "smallest margin to another class, and of novel classes those that are most probably of a known one."
        )
    if found.aware_table.sum() or (found.generalized and found.agnostic_table.sum()):
        text += (
            " Below each image is its true class. Blue frames: it is the class that the Hungarian matching gives to "
            "the cluster; orange frames and ✗: another one."
        )
    return page.paragraph(text) + "".join(cards(sheets)) if sheets else ""


def cards(sheets: Sequence[clusters.Sheet]) -> list[str]:
    """Contact sheets in frames."""
    return [page.card(sheet.title, page.tiles(sheet.groups)) for sheet in sheets]


def settings(hparams: Mapping, method: Method | None = None) -> str:
    """The command that repeats the run, and all settings."""
    rows = [
        (name, yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip())
        for name, value in hparams.items()
    ]
    import platform

    import pytorch_lightning
    import torch

    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, Lightning {pytorch_lightning.__version__}"
    )
    return (
        page.paragraph("The command to repeat the run:")
        + page.code(reproduce_command(hparams, method))
        + page.paragraph(f"This report was made with {versions}.")
        + page.table(("setting", "value"), rows, numbers=False)
    )
