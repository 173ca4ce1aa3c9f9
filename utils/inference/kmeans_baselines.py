"""k-means on pixels and on pretrained features: what discovery has to beat, on the same images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans

from utils.errors import UserError
from utils.evaluation.metrics import contingency, table_metrics
from utils.methods.pretrainer import Pretrainer
from utils.nets import MultiHeadResNet


def kmeans_metrics(train: np.ndarray, test: np.ndarray, labels: np.ndarray, k: int, seed: int = 0) -> dict[str, float]:
    """Fit k-means on ``train`` (N, D), assign ``test`` (M, D), and score against ``labels`` (M,): acc, nmi, ari."""
    kmeans = KMeans(k, n_init=10, random_state=seed).fit(train)
    return table_metrics(contingency(labels, kmeans.predict(test)))


def pretrained_network(hparams: Mapping[str, Any], path: str) -> MultiHeadResNet:
    """The encoder and labelled head of a pretrained file, in evaluation mode.

    Raises:
        UserError: when the file is absent or does not fit.
    """
    names = [*("dataset", "image_size", "arch", "width", "backbone", "backbone_size")]
    names += ["num_labeled_classes", "num_unlabeled_classes"]
    return Pretrainer(**{name: hparams[name] for name in names}, pretrained=path).model.eval()


@torch.no_grad()
def kmeans_baselines(datamodule: Any, pretrained: str | None, hparams: Mapping[str, Any]) -> dict[str, float]:
    """``baseline/kmeans_pixels/*`` and ``baseline/kmeans_features/*`` on the novel test images.

    Args:
        datamodule: of discovery, set up; its novel training images are clustered, its novel test images scored.
        pretrained: weights of the features; None leaves the features out.
        hparams: of the discovery run.

    Raises:
        UserError: when no novel test image has a truth.
    """
    loaders = dict(zip(datamodule.dataloader_mapping.values(), datamodule.val_dataloader(), strict=True))
    if not len(loaders["unlab/train"]) or not len(loaders["unlab/test"]):
        raise UserError("the baselines need novel training and test images with known classes")
    images = {name: list(loaders[name]) for name in ("unlab/train", "unlab/test")}
    labels = torch.cat([labels for _, labels in images["unlab/test"]]).cpu().numpy()
    spaces = {"kmeans_pixels": lambda batch: batch.flatten(1)}
    if pretrained:
        model = pretrained_network(hparams, pretrained)
        spaces["kmeans_features"] = lambda batch: model.to(batch.device)(batch)["feats"]
    results: dict[str, float] = {}
    for space, embed in spaces.items():
        train, test = (
            torch.cat([embed(batch).cpu() for batch, _ in images[name]]).numpy()
            for name in ("unlab/train", "unlab/test")
        )
        metrics = kmeans_metrics(train, test, labels, hparams["num_unlabeled_classes"])
        results |= {f"baseline/{space}/{name}": value for name, value in metrics.items()}
    return results
