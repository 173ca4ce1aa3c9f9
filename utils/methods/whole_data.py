"""What is computed on all unlabelled training images at once, in evaluation mode. N images, D features, K clusters."""

from typing import Any

import torch
from torch import Tensor

from utils.evaluation.semi_kmeans import kmeans_centroids
from utils.losses.precision import full


@torch.no_grad()
def unlabelled_outputs(module: Any, name: str) -> Tensor:
    """One of the network's outputs (N, …) on all unlabelled training images, in the order of the datamodule.

    Every process computes all of it.

    Args:
        module: the LightningModule, attached to a trainer; its mode is as before afterwards.
        name: an output that the network gives for one view.
    """
    training = module.training
    module.eval()
    loader = module.trainer.datamodule.evaluation_loader("unlab/train", module.device)
    with module.trainer.precision_plugin.forward_context():
        found = [module.model(images)[name] for images, _ in loader]
    module.train(training)
    return full(torch.cat(found))


def pca(features: Tensor, dimensions: int) -> Tensor:
    """Coordinates (N, dimensions) on the first principal axes, signs as they come; zeros where there are fewer axes."""
    centred = features - features.mean(dim=0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:dimensions].mT
    return torch.nn.functional.pad(points, (0, dimensions - points.shape[1]))


def centers_of(points: Tensor, num_clusters: int, seed: int) -> Tensor:
    """Centres (K, D) of k-means with 20 starts."""
    return kmeans_centroids(points, num_clusters, seed, restarts=20)[0]
