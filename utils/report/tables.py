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


INCREMENTAL = (
    ("novel, test, among all outputs, best head", "incremental/unlab/test/{}/best"),
    ("novel, train, among all outputs, best head", "incremental/unlab/train/{}/best"),
    ("known, test, among all outputs", "incremental/lab/test/{}"),
)


def metric_rows(
    metrics: Mapping[str, float], rows: Sequence[tuple[str, str]] = ROWS
) -> list[tuple[str, list[float | None]]]:
    """(title, [accuracy, NMI, ARI]) of the rows whose accuracy is in ``metrics``; None for what is not."""
    found = [(title, [metrics.get(key.format(name)) for name in ("acc", "nmi", "ari")]) for title, key in rows]
    return [(title, values) for title, values in found if values[0] is not None]


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Accuracy, NMI and ARI of the model and of the baselines, as far as they are in ``metrics``."""
    width = max(len(title) for title, _ in ROWS)
    lines = [f"{'':{width}}    acc    NMI    ARI"]
    for title, values in metric_rows(metrics):
        lines.append(f"{title:{width}}  " + "  ".join("     " if v is None else f"{v:.3f}" for v in values))
    joint = [f"{title} {metrics[key]:.3f}" for title, key in JOINT if key in metrics]
    if joint:
        lines.append(f"one matching over known and novel, test: {', '.join(joint)}")
    return "\n".join(lines)


def cluster_table(scores: Mapping[str, float]) -> str:
    """NMI, ARI and accuracy of k-means on the backbone and on the last layer; a line saying so when there are none."""
    if not scores:
        return "no image has a label: clusters, but no scores"
    lines = [f"{'':10}    NMI    ARI    ACC"]
    for name, title in (("backbone", "backbone"), ("feature", "last layer")):
        lines.append(f"{title:10}  " + "  ".join(f"{scores[f'{name}/{key}']:.3f}" for key in ("nmi", "ari", "acc")))
    return "\n".join(lines)
