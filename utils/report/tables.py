"""The short table that ends an evaluation."""

from collections.abc import Mapping, Sequence

ROWS = (
    ("novel, test, best head", "unlab/test/{}/best"),
    ("novel, test, mean over heads", "unlab/test/{}/avg"),
    ("novel, train, best head", "unlab/train/{}/best"),
    ("novel, train, mean over heads", "unlab/train/{}/avg"),
    ("known, test", "lab/test/{}"),
    ("k-means on pixels, novel, test", "baseline/kmeans_pixels/{}"),
    ("k-means on pretrained features, novel, test", "baseline/kmeans_features/{}"),
)
JOINT = (("known", "joint/lab"), ("novel", "joint/novel"), ("all", "joint/all"))
MEASURES = (("acc", "accuracy"), ("nmi", "NMI"), ("ari", "ARI"))

INCREMENTAL = (
    ("novel, test, among all outputs, best head", "incremental/unlab/test/{}/best"),
    ("novel, train, among all outputs, best head", "incremental/unlab/train/{}/best"),
    ("known, test, among all outputs", "incremental/lab/test/{}"),
)


def metric_rows(
    metrics: Mapping[str, float], rows: Sequence[tuple[str, str]] = ROWS
) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """The measures that any row has, and (title, values) of the rows whose accuracy is in ``metrics``.

    A value that is absent is None; a measure that no row has is no column.
    """
    found = [(title, [metrics.get(key.format(name)) for name, _ in MEASURES]) for title, key in rows]
    found = [(title, values) for title, values in found if values[0] is not None]
    kept = [place for place in range(len(MEASURES)) if any(values[place] is not None for _, values in found)]
    return [MEASURES[place][1] for place in kept], [(title, [v[place] for place in kept]) for title, v in found]


GENERALIZED = (("unlabelled, train", "unlab/train"), ("test", "test"))
PARTS = (("all", "acc/all"), ("known", "acc/old"), ("novel", "acc/new"), ("NMI", "nmi"), ("ARI", "ari"))


def generalized_rows(metrics: Mapping[str, float]) -> list[tuple[str, list[float | None]]]:
    """(images, values of ``PARTS``) of generalized discovery; an accuracy that is absent is None."""
    rows = [(title, [metrics.get(f"{name}/{key}") for _, key in PARTS]) for title, name in GENERALIZED]
    return [row for row in rows if row[1][0] is not None]


def joint_rows(metrics: Mapping[str, float]) -> tuple[str, list[tuple[str, float]]]:
    """Which test images one matching covers, and its accuracies; without truth of novel ones there is no ``all``."""
    found = [(title, metrics[key]) for title, key in JOINT if key in metrics]
    if not {"joint/lab", "joint/novel"} <= metrics.keys():
        found = [row for row in found if row[0] != "all"]
    return " and ".join(title for title, _ in found if title != "all"), found


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Accuracy, NMI and ARI of the model and of the baselines, as far as they are in ``metrics``."""
    width = max(len(title) for title, _ in ROWS)
    measures, rows = metric_rows(metrics)
    lines = (
        ["  ".join((" " * width, *(f"{'acc' if name == 'accuracy' else name:>5}" for name in measures)))]
        if rows
        else []
    )
    lines += [_line(title, values, width) for title, values in rows]
    if generalized := generalized_rows(metrics):
        lines.append("  ".join((" " * width, *(f"{name:>5}" for name, _ in PARTS))))
    lines += [_line(title, values, width) for title, values in generalized]
    kinds, joint = joint_rows(metrics)
    if joint:
        lines.append(f"one matching over {kinds}, test: " + ", ".join(f"{title} {value:.3f}" for title, value in joint))
    return "\n".join(lines)


def _line(title: str, values: Sequence[float | None], width: int) -> str:
    return f"{title:{width}}  " + "  ".join("     " if value is None else f"{value:.3f}" for value in values)


def cluster_table(scores: Mapping[str, float]) -> str:
    """NMI, ARI and accuracy of k-means on the backbone and on the last layer; a line saying so when there are none."""
    if not scores:
        return "no image has a label: clusters, but no scores"
    lines = [f"{'':10}    NMI    ARI    ACC"]
    for name, title in (("backbone", "backbone"), ("feature", "last layer")):
        lines.append(f"{title:10}  " + "  ".join(f"{scores[f'{name}/{key}']:.3f}" for key in ("nmi", "ari", "acc")))
    return "\n".join(lines)
