"""Clustering metrics from integer contingency tables: Hungarian accuracy, NMI and ARI, exact under DDP.

H heads, B samples, C true classes, K clusters.
"""

import math

import numpy as np
import torch
import torch.distributed as dist
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def contingency(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Counts (C, K) of samples of each class in each cluster; labels are integers >= 0.

    Raises:
        ValueError: when the labels differ in number.
    """
    y_true, y_pred = np.asarray(y_true, dtype=np.int64), np.asarray(y_pred, dtype=np.int64)
    if y_true.shape != y_pred.shape or y_true.ndim != 1:
        raise ValueError(f"y_true and y_pred must be vectors of one length, not {y_true.shape} and {y_pred.shape}")
    num_classes, num_clusters = (int(y.max(initial=-1)) + 1 for y in (y_true, y_pred))
    return np.bincount(y_true * num_clusters + y_pred, minlength=num_classes * num_clusters).reshape(
        num_classes, num_clusters
    )


def table_mapping(table: np.ndarray) -> dict[int, int]:
    """Cluster -> class of the one-to-one matching with most samples; a cluster too many is left out."""
    classes, clusters = linear_sum_assignment(table, maximize=True)
    return {int(k): int(c) for c, k in zip(classes, clusters, strict=True)}


def table_metrics(table: np.ndarray) -> dict[str, float]:
    """``acc``, ``nmi`` (arithmetic mean, natural logarithm) and ``ari`` of a contingency table (C, K)."""
    table = table.astype(np.int64)
    total = int(table.sum())
    if total == 0:
        return {"acc": float("nan"), "nmi": float("nan"), "ari": float("nan")}
    correct = sum(int(table[c, k]) for k, c in table_mapping(table).items())
    return {"acc": correct / total, "nmi": _nmi(table), "ari": _ari(table)}


def known_and_novel_acc(table: np.ndarray, num_labeled: int) -> dict[str, float]:
    """Shares of right samples under one Hungarian matching over all classes: GCD's "v2" (Vaze et al., CVPR 2022).

    One cluster counts for one class, known or novel; a matching of its own for each of the two would flatter. Where
    several matchings are equally good, ``all`` is the same for all of them and the other two need not be: that of
    scipy's ``linear_sum_assignment`` is taken. Such ties are of few samples, and so a matter of small sets.

    Args:
        table: counts (C, K), the known classes first.
        num_labeled: L, the known classes.

    Returns:
        ``all``, ``old`` (known classes) and ``new`` (novel ones); absent where there are no such samples.
    """
    correct = np.zeros(len(table), np.int64)
    for prediction, label in table_mapping(table).items():
        correct[label] = table[label, prediction]
    rows = {"all": slice(None), "old": slice(0, num_labeled), "new": slice(num_labeled, None)}
    totals = {name: table[row].sum() for name, row in rows.items()}
    return {name: float(correct[row].sum() / totals[name]) for name, row in rows.items() if totals[name]}


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _nmi(table: np.ndarray) -> float:
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    if (rows > 0).sum() <= 1 and (columns > 0).sum() <= 1:
        return 1.0
    normalizer = (_entropy(rows) + _entropy(columns)) / 2
    information = 2 * normalizer - _entropy(table)
    return float(max(information, 0.0) / normalizer) if normalizer > 0 else 0.0


def _ari(table: np.ndarray) -> float:
    """Adjusted Rand index by pair counts, whose products are Python integers: they overflow 64 bits."""
    total = int(table.sum())
    same_both, same_class, same_cluster = (
        int(np.square(counts).sum()) - total for counts in (table, table.sum(axis=1), table.sum(axis=0))
    )
    pairs = total * (total - 1)
    if same_class == same_cluster and same_class in (0, pairs):
        return 1.0
    expected = same_class * same_cluster / pairs
    return (same_both - expected) / ((same_class + same_cluster) / 2 - expected)


def cluster_acc(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Share of samples that are right under the best one-to-one matching of clusters to classes.

    Args:
        y_true, y_pred: (B,) integers >= 0; there may be more clusters than classes, or fewer.

    Example:
        >>> cluster_acc([0, 0, 1, 1], [1, 1, 0, 2])
        0.75
    """
    return table_metrics(contingency(y_true, y_pred))["acc"]


def best_mapping(y_true: np.ndarray, y_pred: np.ndarray) -> dict[int, int]:
    """Cluster -> class of the best one-to-one matching (Hungarian algorithm).

    Example:
        >>> best_mapping([0, 0, 1, 1], [1, 1, 0, 0])
        {1: 0, 0: 1}
    """
    return table_mapping(contingency(y_true, y_pred))


class ClusterMetrics:
    """Contingency tables of several heads, filled batch by batch and summed over processes.

    Samples without truth (target < 0) are left out. Predictions stay on their device until :meth:`compute`.

    Args:
        num_heads: H.
    """

    def __init__(self, num_heads: int) -> None:
        self.num_heads = num_heads
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._preds: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, preds: Tensor, targets: Tensor) -> None:
        """Add a batch: ``preds`` (H, B) cluster indices, ``targets`` (B,) classes.

        Raises:
            ValueError: for other shapes.
        """
        if preds.shape != (self.num_heads, len(targets)):
            raise ValueError(f"preds must be {(self.num_heads, len(targets))} (heads, batch), not {tuple(preds.shape)}")
        self._preds.append(preds.detach())
        self._targets.append(targets.detach())

    def tables(self) -> np.ndarray:
        """Contingency tables (H, C, K) over all processes."""
        preds = torch.cat(self._preds, dim=1) if self._preds else torch.zeros(self.num_heads, 0, dtype=torch.long)
        targets = torch.cat(self._targets) if self._targets else torch.zeros(0, dtype=torch.long)
        distributed = dist.is_available() and dist.is_initialized()
        device = collective_device(preds) if distributed else preds.device
        shape = torch.tensor([x.max() + 1 if x.numel() else 0 for x in (targets, preds)], device=device)
        if distributed:
            dist.all_reduce(shape, op=dist.ReduceOp.MAX)
        num_classes, num_clusters = shape.tolist()
        # A further row takes the samples without truth: no selection, one pass over all heads.
        rows = torch.where(targets < 0, num_classes, targets)
        tables = torch.arange(self.num_heads, device=preds.device)[:, None] * (num_classes + 1)
        flat = preds + (tables + rows) * num_clusters
        size = (self.num_heads, num_classes + 1, num_clusters)
        counts = torch.bincount(flat.flatten(), minlength=math.prod(size)).to(device)
        if distributed:
            dist.all_reduce(counts)
        return counts.view(size)[:, :num_classes].cpu().numpy()

    def compute(self) -> dict[str, list[float]]:
        """``acc``, ``nmi`` and ``ari``, one value a head; empty where no sample has a truth."""
        tables = self.tables()
        if tables.sum() == 0:
            return {}
        results = [table_metrics(table) for table in tables]
        return {name: [result[name] for result in results] for name in results[0]}


def collective_device(tensor: Tensor) -> torch.device:
    """The device on which the default process group can reduce: NCCL only knows GPUs."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return tensor.device if tensor.device.type != "cuda" else torch.device("cpu")
