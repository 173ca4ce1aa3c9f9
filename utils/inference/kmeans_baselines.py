"""k-means on pixels and on pretrained features: what discovery has to beat, on the same images."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from utils.data.features.datamodule import FeatureDataModule
from utils.errors import UserError
from utils.evaluation.metrics import contingency, table_metrics
from utils.methods.pretrainer import Pretrainer
from utils.nets import MultiHeadResNet
from utils.nets.backbone_weights import NONE
from utils.nets.pretrained_weights import load_pretrained


def kmeans_metrics(train: np.ndarray, test: np.ndarray, labels: np.ndarray, k: int) -> dict[str, float]:
    """Fit k-means on ``train`` (N, D), assign ``test`` (M, D), and score against ``labels`` (M,): acc, nmi, ari."""
    kmeans = KMeans(k, n_init=10, random_state=0).fit(train)
    return table_metrics(contingency(labels, kmeans.predict(test)))


def pretrained_network(hparams: Mapping[str, Any], path: str | None, flag: str = "--pretrained") -> MultiHeadResNet:
    """The encoder and labelled head of a pretrained file, or a backbone with weights of its own, in evaluation mode.

    Args:
        hparams: of a discovery run.
        path: of the file, which ``flag`` has given.

    Raises:
        UserError: when the file is absent or does not fit.
    """
    names = [*("dataset", "image_size", "arch", "width", "backbone", "backbone_size", "backbone_weights")]
    names += ["num_labeled_classes", "num_unlabeled_classes"]
    settings = {name: hparams[name] for name in names}
    if path and settings["backbone"]:
        settings["backbone_weights"] = NONE  # those of the file come at once
    model = Pretrainer(**settings).model.eval()
    if path:
        load_pretrained(model, path, encoder_alone=True, flag=flag)
    return model


@torch.no_grad()
def kmeans_baselines(datamodule: Any, pretrained: str | None, hparams: Mapping[str, Any]) -> dict[str, float]:
    """``baseline/kmeans_pixels/*`` and ``baseline/kmeans_features/*`` on the novel test images.

    Args:
        datamodule: of discovery, set up; its novel training images are clustered, its novel test images scored.
        pretrained: weights of the features; None leaves the features out, but those of a frozen backbone.
        hparams: of the discovery run.

    Raises:
        UserError: when no novel test image has a truth.
    """
    names = ("unlab/train", "unlab/test")
    images = {name: list(datamodule.image_loader(name)) for name in names}
    if not all(images.values()):
        raise UserError("the baselines need novel training and test images with known classes")
    labels = torch.cat([labels for _, labels in images["unlab/test"]]).cpu().numpy()
    spaces: dict[str, tuple[dict, Callable[[Tensor], Tensor]]] = {
        "kmeans_pixels": (images, lambda batch: batch.flatten(1))
    }
    if isinstance(datamodule, FeatureDataModule):
        served = {name: list(datamodule.evaluation_loader(name)) for name in names}
        spaces["kmeans_features"] = (served, lambda batch: batch)
    elif pretrained:
        model = pretrained_network(hparams, pretrained)
        spaces["kmeans_features"] = (images, lambda batch: model.to(batch.device)(batch)["feats"])
    results: dict[str, float] = {}
    for space, (batches, embed) in spaces.items():
        train, test = (torch.cat([embed(batch).cpu() for batch, _ in batches[name]]).numpy() for name in names)
        metrics = kmeans_metrics(train, test, labels, hparams["num_unlabeled_classes"])
        results |= {f"baseline/{space}/{name}": value for name, value in metrics.items()}
    return results
