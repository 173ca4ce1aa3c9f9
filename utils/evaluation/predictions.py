"""What a trained discovery network says about images, one row each: for the report, the figures and main_predict.py.

H heads, B samples of a batch, N samples, L labelled and U novel classes, D features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """Arrays with one row an image (``heads``: one column).

    Args:
        labels: (N,) int64 truth, -1 where nobody knows.
        features: (N, D) float32, of the encoder.
        output: (N,) int64, argmax over all L+U outputs of the best head (task-agnostic).
        probability: (N,) float32, of ``output``.
        margin: (N,) float32, ``probability`` less that of the second best output.
        distance: (N,) float32, 1 - cosine to the prototype of ``output``: 0 (same direction) to 2.
        cluster: (N,) int64, argmax over the U novel outputs of the best head (task-aware).
        cluster_probability: (N,) float32, of ``cluster`` among the U novel outputs.
        cluster_margin: (N,) float32, difference of the two highest probabilities among the U novel outputs.
        cluster_distance: (N,) float32, 1 - cosine to the prototype of ``cluster``.
        known: (N,) int64, argmax over the L labelled outputs.
        known_probability: (N,) float32, of ``known`` among all L+U outputs: how near to a known class an image is.
        heads: (H, N) int64, argmax over the U novel outputs of every head.
    """

    labels: np.ndarray
    features: np.ndarray
    output: np.ndarray
    probability: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    cluster: np.ndarray
    cluster_probability: np.ndarray
    cluster_margin: np.ndarray
    cluster_distance: np.ndarray
    known: np.ndarray
    known_probability: np.ndarray
    heads: np.ndarray

    def among_novel(self, num_labeled: int) -> "Predictions":
        """The same images where all are known to be of novel classes: ``output`` is L + ``cluster``."""
        return replace(
            self,
            output=num_labeled + self.cluster,
            probability=self.cluster_probability,
            margin=self.cluster_margin,
            distance=self.cluster_distance,
        )

    def __len__(self) -> int:
        return len(self.labels)


def read_outputs(model: Any, outputs: Mapping[str, Tensor], best_head: int, temperature: float) -> dict[str, Tensor]:
    """The fields of :class:`Predictions` but ``labels``, from the network's outputs for one view of B images.

    Args:
        model: the network that gave them, which tells the lengths of its prototypes.
        outputs: ``feats`` (B, D), ``logits_lab`` (B, L) and ``logits_unlab`` (H, B, U).
        best_head: the head that speaks for the model.
        temperature: of the softmax.
    """
    novel = outputs["logits_unlab"][best_head]
    logits = torch.cat([outputs["logits_lab"], novel], dim=-1)  # (B, L+U)
    if "logits_all" in outputs:
        logits = outputs["logits_all"][best_head]
    output, probability, margin = _top(logits / temperature)
    cluster, cluster_probability, cluster_margin = _top(novel / temperature)
    distances = 1 - logits / model.prototype_lengths(best_head).to(logits.dtype)
    num_labeled = outputs["logits_lab"].shape[-1]
    return {
        "features": outputs["feats"].float(),
        "output": output,
        "probability": probability,
        "margin": margin,
        "distance": distances.gather(1, output[:, None])[:, 0],
        "cluster": cluster,
        "cluster_probability": cluster_probability,
        "cluster_margin": cluster_margin,
        "cluster_distance": distances.gather(1, cluster[:, None] + num_labeled)[:, 0],
        "known": outputs["logits_lab"].argmax(dim=-1),
        "known_probability": F.softmax((logits / temperature).float(), dim=-1)[:, :num_labeled].amax(dim=-1),
        "heads": outputs["logits_unlab"].argmax(dim=-1),
    }


def _top(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, K) -> the best output, its probability, and that probability less the second best (0 where K is 1)."""
    probabilities = F.softmax(logits.float(), dim=-1)
    values, order = F.pad(probabilities, (0, 1)).topk(2, dim=-1)  # the pad is never the best
    return order[:, 0], values[:, 0], values[:, 0] - values[:, 1]


@torch.inference_mode()
def predict(
    discoverer: Any, batches: Iterable[tuple[Tensor, Tensor]], keep_features: bool = True
) -> Predictions | None:
    """Batches of (normalised images, labels) through a discovery module on its device; None where there is no batch.

    ``features`` are (N, 0) without ``keep_features``: those of a million photographs would not fit into memory.
    """
    discoverer.eval()
    rows = []
    for images, labels in batches:
        outputs = discoverer.predictions(images.to(discoverer.device))
        found = read_outputs(discoverer.model, outputs, int(discoverer.best_head), discoverer.hparams["temperature"])
        if not keep_features:
            found["features"] = found["features"].new_empty(len(labels), 0)  # a slice would hold all of them
        rows.append({"labels": labels, **found})
    if not rows:
        return None
    return Predictions(
        **{
            name: torch.cat([row[name] for row in rows], dim=1 if name == "heads" else 0).cpu().numpy()
            for name in rows[0]
        }
    )


def output_names(hparams: Mapping[str, Any]) -> list[str]:
    """Names of the L+U outputs: the labelled classes by name, then ``novel-0``, ``novel-1``, …"""
    num_labeled = hparams["num_labeled_classes"]
    known = hparams.get("class_names") or [f"known-{label}" for label in range(num_labeled)]  # in older checkpoints
    return [*known, *(f"novel-{cluster}" for cluster in range(hparams["num_unlabeled_classes"]))]
