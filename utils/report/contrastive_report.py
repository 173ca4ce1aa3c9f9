"""What evaluate.py leaves: scores, the cluster of each image, pictures on demand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from utils import files
from utils.errors import UserError
from utils.evaluation.embedding_protocol import EmbeddingEvaluation
from utils.nets.disentangling_net import DisentanglingNet
from utils.report.plots.style import save_png
from utils.targets import FIGURE, METRICS, require_target, table_with

IMAGES_SHOWN = 6  # of each explained feature


@dataclass(frozen=True)
class ClusterReport:
    """Scores by their keys (none without labels), and the files that were written: what -> path."""

    scores: dict[str, float]
    files: dict[str, Path]


def require_targets(out: Path, tsne: bool, lime: bool, force: bool) -> None:
    """Refuse a beginning of paths at which :func:`write_report` could not write, or would replace what is not its own.

    Raises:
        UserError: naming the file.
    """
    names = {"clusters.csv": table_with("image", "class", "backbone", "feature"), "metrics.json": METRICS}
    names |= dict.fromkeys(["tsne.png"] * tsne + ["lime_circled.png", "lime_unmasked.png"] * lime, FIGURE)
    for name, own in names.items():
        require_target("out", out.with_name(f"{out.name}.{name}"), own, force)


def write_report(
    out: Path,
    evaluation: EmbeddingEvaluation,
    scores: dict[str, float],
    datamodule: Any,
    draw: Callable[[], dict[str, Any]],
) -> ClusterReport:
    """Write ``<out>.clusters.csv``, with labels ``<out>.metrics.json``, and the pictures.

    Args:
        out: beginning of the paths.
        evaluation: gathered and clustered.
        scores: of the clusters.
        datamodule: whose images were evaluated.
        draw: gives name -> matplotlib figure, written to ``<out>.<name>.png``; called when the tables are there.
    """
    written = {"clusters": out.with_name(out.name + ".clusters.csv")}
    files.write_text(written["clusters"], _clusters_csv(evaluation, datamodule))
    if scores:
        written["metrics"] = out.with_name(out.name + ".metrics.json")
        files.write_json(written["metrics"], scores)
    for name, figure in draw().items():
        written[name] = out.with_name(f"{out.name}.{name}.png")
        save_png(figure, written[name])
    return ClusterReport(scores, written)


def _clusters_csv(evaluation: EmbeddingEvaluation, datamodule: Any) -> str:
    """A row for each image: its file or position, its class or nothing, its cluster by backbone and by last layer."""
    rows = []
    for i, row in enumerate(datamodule.rows):
        label = evaluation.labels[i]
        name = datamodule.paths[row] if datamodule.paths else row
        clusters = [int(values[i]) for values in evaluation.clusters.values()]
        rows.append([name, datamodule.class_names[label] if label >= 0 else "", *clusters])
    return files.csv_text(["image", "class", *evaluation.clusters], rows)


def pictures(module: Any, datamodule: Any, tsne: bool, lime: str | list[int] | None) -> dict[str, Any]:
    """``tsne``, ``lime_circled`` and ``lime_unmasked``, as far as they are asked for; matplotlib figures.

    Args:
        module: a :class:`utils.methods.disentangler.Disentangler` whose ``evaluation`` has gathered.
        datamodule: whose images were evaluated.
        tsne: whether t-SNE is drawn.
        lime: numbers of features, ``auto``, or None for no LIME.

    Raises:
        UserError: as :func:`lime_pictures`.
    """
    from utils.report.plots.embedding import plot_panels

    evaluation, figures = module.evaluation, {}
    if tsne:
        figures["tsne"] = plot_panels(evaluation.outputs, evaluation.labels, datamodule.class_names)
    if lime is not None:
        training = module.model.training
        try:
            figures |= lime_pictures(module.model.eval(), evaluation, datamodule, lime)
        finally:
            module.model.train(training)
    return figures


def lime_pictures(
    net: DisentanglingNet, evaluation: EmbeddingEvaluation, datamodule: Any, features: str | list[int]
) -> dict[str, Any]:
    """``lime_circled`` and ``lime_unmasked`` of features of a network; matplotlib figures.

    Args:
        net: in evaluation mode.
        evaluation: gathered.
        datamodule: whose images were evaluated.
        features: their numbers, or ``auto``.

    Raises:
        UserError: for a network without features, an unknown feature, and one that no image activates.
    """
    from utils.report.plots.lime import ACTIVE, explain, plot_lime, telling_features

    if net.feature_predictor is None:
        raise UserError("--lime explains features, and this model (SimCLR) has none")
    values = evaluation.outputs["feature"]
    numbers = telling_features(values) if isinstance(features, str) else features
    unknown = [number for number in numbers if not 0 <= number < values.shape[1]]
    if unknown:
        raise UserError(f"--lime {unknown[0]}: the model has the features 0 to {values.shape[1] - 1}")
    device = next(net.parameters()).device
    rows = []
    for number in numbers:
        active = torch.nonzero(values[:, number] > ACTIVE)[:, 0].tolist()
        step = max(1, len(active) // IMAGES_SHOWN)
        shown = active[::step][:IMAGES_SHOWN]  # from all over the data
        if not shown:
            continue
        images = datamodule.views_of(shown).to(device)
        rows.append([explain(lambda views: net(views)["features"], image, number) for image in images])
    if not rows:
        raise UserError(f"no feature among {numbers or 'all'} is above {ACTIVE} on any image")
    return {"lime_circled": plot_lime(rows, circled=True), "lime_unmasked": plot_lime(rows, circled=False)}
