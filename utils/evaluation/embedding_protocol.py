"""What contrastive disentangling is judged by: k-means on the outputs of a network, over *all* images.

N samples, B samples of a batch, D dimensions, K features.
"""

import numpy as np
import torch
from torch import Tensor

from utils.distributed import gather_over_processes, several_processes
from utils.errors import UserError
from utils.evaluation.kmeans import kmeans
from utils.evaluation.metrics import collective_device, contingency, table_metrics


class EmbeddingEvaluation:
    """Collects the outputs of the evaluated images, clusters them, and scores the clusters over *all* images.

    Args:
        k: number of clusters; None: the number of true classes.
        class_num: number of clusters where no image has a truth.
    """

    def __init__(self, k: int | None = None, class_num: int | None = None) -> None:
        self.k, self.class_num = k, class_num
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._parts: dict[str, list[Tensor]] = {"backbone": [], "feature": [], "labels": []}

    def update(self, backbone: Tensor, feature: Tensor, labels: Tensor) -> None:
        """Add a batch: outputs of the backbone (B, D) and of the last layer (B, K), and the truth (B,), -1: unknown."""
        for name, value in (("backbone", backbone.float()), ("feature", feature.float()), ("labels", labels)):
            self._parts[name].append(value.detach())

    def gather(self) -> None:
        """Put the batches of all processes together, in the order of the images: ``outputs`` and ``labels``."""
        whole = {name: _gather_rows(torch.cat(parts)) for name, parts in self._parts.items()}
        self.labels = whole.pop("labels").cpu().numpy()  # (N,)
        self.outputs = whole  # backbone (N, D), feature (N, K)
        self.reset()

    def cluster(self) -> dict[str, float]:
        """``backbone/*`` and ``feature/*``: nmi, ari and acc; empty without labels. Sets ``clusters``, name -> (N,).

        Raises:
            UserError: when neither labels nor settings tell the number of clusters, or there are fewer images.
        """
        known = self.labels >= 0
        classes = len(np.unique(self.labels[known]))
        k = self.k or classes or self.class_num
        if not k:
            raise UserError("no image has a label, so the number of clusters is not known; give --k")
        self.clusters = {name: kmeans(vectors, k) for name, vectors in self.outputs.items()}
        if not classes:
            return {}
        scores: dict[str, float] = {}
        for name, clusters in self.clusters.items():
            metrics = table_metrics(contingency(self.labels[known], clusters[known]))
            scores |= {f"{name}/{key}": metrics[key] for key in ("nmi", "ari", "acc")}
        return scores


def _gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes on each of them, in the order from which every process took every world_size-th."""
    if not several_processes():
        return rows
    device = collective_device(rows)
    counts = gather_over_processes(torch.tensor(len(rows), device=device))
    padded = torch.zeros(int(counts.max()), *rows.shape[1:], dtype=rows.dtype, device=device)
    padded[: len(rows)] = rows
    everyone = gather_over_processes(padded).transpose(0, 1)  # (longest, processes, …)
    return everyone.flatten(0, 1)[: int(counts.sum())].to(rows.device)
