"""Features of a pretrained network, and baselines that cluster them: the input of the scripts that need no discovery.

N images, D features, L labelled and U novel classes.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.cli.flag_types import AUTO
from utils.cli.run_names import run_name
from utils.cli.settings import resolve
from utils.data import GCD, get_datamodule
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.features.datamodule import FeatureDataModule
from utils.errors import UserError
from utils.evaluation.class_number import Estimate, estimate
from utils.evaluation.generalized import GeneralizedEvaluation
from utils.evaluation.protocols import LOADERS, DiscoveryEvaluation
from utils.evaluation.semi_kmeans import PUBLISHED_RESTARTS, kmeans_centroids, semi_kmeans
from utils.inference.extraction import serve_features
from utils.inference.kmeans_baselines import pretrained_network
from utils.nets import MultiHeadResNet
from utils.nets.backbone import backbone_data
from utils.nets.disentangling_net import is_disentangling, load_net
from utils.targets import require_folder

TRAINING_VIEWS = {"num_large_crops", "num_small_crops", "multicrop", "feature_views"}  # none is looked at here


class ContrastiveEncoder(nn.Module):
    """The backbone of a contrastive model for images that are normalised as for discovery; it was trained on [0, 1].

    Args:
        path: of a model file of ``train.py``.
        mean, std: of the normalisation, by channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.encoder = load_net(path).eval().encoder
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def encode(self, views: Sequence[Tensor]) -> Tensor:
        """Features (V, B, D) of V views (B, 3, h, w)."""
        return torch.stack([self.encoder(view * self.std + self.mean) for view in views])


class PretrainedFeatures:
    """Features (N, D) on the unit sphere, where the heads see them, and truth (N,), for each set of images.

    With ``--pca`` they are the principal components of those of all training images.

    Args:
        args: the flags of the stage ``features`` or ``discover``.
        path: pretrained weights, or a model that ``train.py`` has left: its backbone has seen novel images too; None:
            the weights of ``--backbone``.
        device: of the network and the features.

    Raises:
        UserError: for weights or data that are not there or do not fit.
    """

    def __init__(self, args: Namespace, path: str | None, device: torch.device) -> None:
        given = vars(args)
        unknown = args.num_unlabeled_classes == AUTO or given.get("num_unlabeled_estimated", False)
        taken = resolve("discover", {}).keys() - TRAINING_VIEWS
        settings = {name: given[name] for name in given if name in taken} | {"batch_size": 2}
        settings |= {"num_unlabeled_estimated": unknown}
        if unknown:
            settings["num_unlabeled_classes"] = 1
        self.settings = resolve("discover", settings)
        if path is None and not self.settings["backbone"]:
            raise UserError("features need a network: give --checkpoint FILE, or --backbone NAME")
        contrastive = path is not None and is_disentangling(path)
        if contrastive:
            self.settings["train"] = None  # it is not the backbone that looks at the images
        if self.settings["backbone"]:
            data = backbone_data(self.settings["backbone"], self.settings["backbone_size"])
            self.settings["backbone_data"] = asdict(data)
        self.generalized = given.get("setting") == GCD
        self.settings |= {name: given[name] for name in ("setting", "prop_train_labels") if name in given}
        self.datamodule: NCDDataModule = get_datamodule(Namespace(**self.settings), "discover")  # type: ignore[assignment]
        self.datamodule.prepare_data()
        self.datamodule.setup("validate")
        spec = self.datamodule.spec
        self.model: ContrastiveEncoder | MultiHeadResNet
        if contrastive:
            self.model = ContrastiveEncoder(str(path), spec.mean, spec.std).to(device)
        else:
            settings = {**self.settings, "image_size": self.datamodule.image_size}
            flag = next((name for name in ("checkpoint", "estimate_from") if given.get(name) == path), "pretrained")
            self.model = pretrained_network(settings, path, f"--{flag}").to(device)
        if isinstance(self.datamodule, FeatureDataModule):
            serve_features(self.datamodule, self.model.encoder, self.settings, device, training=False)
        self.device, self.components = device, given.get("pca")
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, name: str) -> tuple[Tensor, Tensor]:
        features, labels = self.encoded(name)
        return (features - self._principal[0]) @ self._principal[1] if self.components else features, labels

    @torch.inference_mode()
    def encoded(self, name: str) -> tuple[Tensor, Tensor]:
        """Features on the unit sphere, whether or not principal components are asked for, and truth."""
        if name not in self._cache:
            found = [
                (F.normalize(self.model.encode([images.to(self.device)])[0].float(), dim=-1), labels.to(self.device))
                for images, labels in self.datamodule.evaluation_loader(name, self.device)
            ]
            empty = torch.zeros(0, self.model.encoder.num_features, device=self.device)
            features, labels = zip(*(found or [(empty, empty[:, 0].long())]), strict=True)
            self._cache[name] = torch.cat(features), torch.cat(labels)
        return self._cache[name]

    @cached_property
    def _principal(self) -> tuple[Tensor, Tensor]:
        """Mean (D,) and directions (D, C) of the C principal components of all training images."""
        from sklearn.decomposition import PCA

        features = torch.cat([self.encoded(name)[0] for name in ("lab/train", "unlab/train")]).cpu().numpy()
        if self.components > min(features.shape):
            images, size = features.shape
            raise UserError(
                f"--pca {self.components}, but {images:,} images of {size:,} features have fewer components"
            )
        found = PCA(self.components, svd_solver="covariance_eigh").fit(features)
        return torch.tensor(found.mean_).to(self.device), torch.tensor(found.components_.T).to(self.device)

    def estimate(self, method: str, largest: int | None, seed: int) -> Estimate:
        """The number of novel classes among the unlabelled training images."""
        return estimate(self["unlab/train"][0], *self["lab/train"], method=method, largest=largest, seed=seed)

    def baseline(self, name: str, num_novel: int, seed: int) -> tuple[dict[str, float], Any]:
        """Metrics of clustered features under the keys of discovery, and the joint contingency table.

        Known classes are their mean training features, novel ones the centroids of ``kmeans`` on the novel training
        images, or those of ``semi_kmeans`` with the labelled images beside them; an image goes to the nearest.

        Args:
            name: ``kmeans`` or ``semi_kmeans``.
            num_novel: U.
            seed: of the starts.
        """
        x, (labeled, labels) = self["unlab/train"][0], self["lab/train"]
        num_labeled = self.settings["num_labeled_classes"]
        if self.generalized:
            return self._generalized_baseline(name, num_novel, seed)
        if name == "semi_kmeans":
            centroids, _ = semi_kmeans(x, labeled, labels, num_labeled, num_novel, seed)
        else:
            means = torch.stack([labeled[labels == label].mean(dim=0) for label in range(num_labeled)])
            centroids = torch.cat([means, kmeans_centroids(x, num_novel, seed)[0]])
        evaluation = DiscoveryEvaluation(1, num_labeled)
        for loader in LOADERS:
            features, truth = self[loader]
            nearness = -torch.cdist(features, centroids)  # stands in for logits: (N, L+U)
            outputs = {"logits_lab": nearness[:, :num_labeled], "logits_unlab": nearness[None, :, num_labeled:]}
            evaluation.update(loader, outputs, truth, 0)
        return evaluation.compute(0), evaluation.joint_table

    def _generalized_baseline(self, name: str, num_novel: int, seed: int) -> tuple[dict[str, float], Any]:
        """The same where the heap holds known classes: all clusters are one list, and the heap is judged."""
        x, (labeled, labels) = self["unlab/train"][0], self["lab/train"]
        num_labeled = self.settings["num_labeled_classes"]
        if name == "semi_kmeans":
            centroids, _ = semi_kmeans(x, labeled, labels, num_labeled, num_novel, seed, PUBLISHED_RESTARTS)
        else:
            centroids, _ = kmeans_centroids(x, num_labeled + num_novel, seed)
        evaluation = GeneralizedEvaluation(num_labeled)
        for loader in LOADERS:
            features, truth = self[loader]
            evaluation.update(loader, -torch.cdist(features, centroids), truth)
        return evaluation.compute(), evaluation.joint_table


def default_folder(args: Namespace, kind: str) -> Path:
    """``<log_dir>/<run_name>``, by default ``<kind>-<weights or backbone>-<dataset>`` and the comment.

    Raises:
        UserError: where nothing can be written.
    """
    weights = Path(args.checkpoint).stem if args.checkpoint else None
    folder = Path(args.log_dir) / (args.run_name or run_name(args, kind, weights))
    require_folder("log_dir", folder)
    return folder


def tell_replaced(path: Path) -> None:
    """Say that the files of an older result are about to be replaced, if its main one is there."""
    if path.is_file():
        print(f"note: {path.parent} held an older result; its files are replaced (--comment keeps both)")
