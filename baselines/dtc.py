"""DTC (Han et al., ICCV 2019, arXiv:1908.09884): deep embedded clustering from the features of the known classes.

    python -m baselines.dtc --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_dtc

    loss = KL(target || q) / U + coefficient * ramp(epoch) * mean (q - q of the other view)^2
    q: Student's t of the distances from U centres in U dimensions;   target = q^2 / mass of the cluster, normalised

Targets are of all unlabelled images, renewed every --update_interval epochs after a warm-up at a fixed target from
PCA and k-means. --dtc PI is the variant above, TEP makes the targets from assignments averaged over the epochs (as on
ImageNet). Labelled images are not used, so that the known classes drift; the renewal is a pass over all unlabelled
images. CIFAR100: --warmup_targets 30 --update_interval 10.

Published accuracy on the novel training images: CIFAR10-5 88.7, CIFAR100-20 67.3, CIFAR100-50 35.9, ImageNet 78.3.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.pair_method(
    *("dtc", "DTC", "ICCV'19", (88.7, 67.3, 35.9, 78.3)),
    *("dtc", "warmup_targets", "update_interval"),
    recipe={"max_epochs": 110, "base_lr": 0.05, "rampup_length": 5, "rampup_coefficient": 10.0, "freeze_early": False},
    digits={"base_lr": 0.05, "warmup_targets": 8, "update_interval": 2, "rampup_length": 5},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.losses import consistency, rampup, student_t, target_distribution
from utils.losses.clustering import sharpening, temporal_ensemble
from utils.methods.pair_discoverer import PairDiscoverer
from utils.methods.whole_data import centers_of, pca, unlabelled_outputs
from utils.nets.transfer_net import TransferNet

DECAY = 0.6  # of a past epoch's assignments


class Discoverer(PairDiscoverer):
    """Soft clusters that sharpen themselves. N training images."""

    method = METHOD
    model: TransferNet

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        self.model.head_lab.requires_grad_(False)  # labelled images are not used
        self.row_targets: Tensor | None = None  # (N, U), zero for labelled images; a checkpoint has them
        self.assigned: Tensor | None = None  # (unlabelled, U), what the ensemble remembers

    def network(self, **sizes: Any) -> TransferNet:
        return TransferNet(self.hparams["temperature"], **sizes)

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """From ``projected`` (2, B, U) and ``targets`` (B, U)."""
        rows = ~self.is_labeled(labels)
        first, second = (student_t(points, self.model.head_unlab.centers) for points in outputs["projected"])
        sharp = sharpening(first, outputs["targets"], rows)
        agreement = consistency(first, second, rows)
        weight = self.hparams["rampup_coefficient"] * self.ramp if self.hparams["dtc"] == "PI" else 0.0
        losses = {"loss": sharp + weight * agreement, "loss_cluster": sharp, "loss_consistency": agreement}
        return losses | {"loss_per_head": sharp.detach()[None]}

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        return self.model(views) | {"targets": self.targets_of_batch()}

    # Targets of all images

    def targets_of_batch(self) -> Tensor:
        """Targets (B, U) of the images of this step."""
        assert self.row_targets is not None
        step = self.trainer.fit_loop.epoch_loop.batch_idx
        rows = self.trainer.train_dataloader.batch_rows(self.current_epoch, step)  # type: ignore[union-attr]
        return self.row_targets.index_select(0, rows.to(self.row_targets.device, non_blocking=True))

    def on_fit_start(self) -> None:
        if self.row_targets is not None:  # of a checkpoint
            self.row_targets = self.row_targets.to(self.device)
            return
        features = unlabelled_outputs(self, "feats")
        points = pca(features, self.hparams["num_unlabeled_classes"])
        with torch.no_grad():
            centers = centers_of(points, self.hparams["num_unlabeled_classes"], self.hparams["seed"])
            self.model.head_unlab.centers.copy_(self.trainer.strategy.broadcast(centers))
        self.set_targets(self.assignments(points))

    def assignments(self, points: Tensor) -> Tensor:
        """Soft assignments (n, U) of points (n, U): the first process's, for running statistics are each one's own."""
        return self.trainer.strategy.broadcast(student_t(points, self.model.head_unlab.centers.detach()))

    def set_targets(self, probs: Tensor) -> None:
        """New targets, from assignments (unlabelled, U)."""
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        _, rows = datamodule.evaluation_rows("unlab/train")
        self.row_targets = probs.new_zeros(len(datamodule.train_targets), probs.shape[1])
        self.row_targets[torch.from_numpy(rows).to(probs.device)] = target_distribution(probs)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        epoch = self.current_epoch - self.hparams["warmup_targets"]
        self.ramp.fill_(rampup(max(0, epoch), self.hparams["rampup_length"]))
        ensemble = self.hparams["dtc"] == "TEP"
        if epoch < 0 or (epoch % self.hparams["update_interval"] and not ensemble):
            return
        probs = self.assignments(unlabelled_outputs(self, "projected"))
        if ensemble:
            past = torch.zeros_like(probs) if self.assigned is None else self.assigned.to(probs)
            self.assigned, probs = temporal_ensemble(past, probs, epoch, DECAY)
        self.set_targets(probs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["dtc"] = {"row_targets": self.row_targets, "assigned": self.assigned}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        kept = checkpoint["dtc"]
        self.row_targets, self.assigned = kept["row_targets"], kept["assigned"]


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
