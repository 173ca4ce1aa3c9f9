"""ComEx (Yang et al., CVPR 2022, "Divide and Conquer"): experts for classes and for batches, targets from neighbours.

    python -m baselines.comex --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_comex

    loss = (cluster + over-cluster)/2 + (batch cluster + batch over-cluster)/2 + factor_expert * expert
    q = sharpen(share * (Sinkhorn of both experts)/2 + (1 - share) * q of the neighbours in the memory)

Batch-wise experts have all L+U outputs: one for labelled rows, heads for the others; ``expert`` is the norm of their
logits where the other kind's classes are. Predictions add both experts. The ImageNet runs have --no-batch_head.
The two banks of batch-wise heads make a step dearer.

Published accuracy on the novel training images: CIFAR10-5 93.6, CIFAR100-20 85.7, CIFAR100-50 53.4, ImageNet 90.9.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.Method(
    *("comex", "ComEx", "CVPR'22", (93.6, 85.7, 53.4, 90.9)),
    flags=("batch_head", "queue_size", "queue_alpha", "sharp", "alpha"),
    factors={"expert": 1.0},
    recipe={"num_heads": 4, "max_epochs": 200, "base_lr": 0.2},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.experts import masked_norm, neighbours_targets, sharpen
from utils.losses.queue import advance, remember, slots
from utils.methods import discoverer
from utils.nets.comex_net import ComExNet


class Discoverer(discoverer.Discoverer):
    """UNO v2's swapped prediction on two sets of experts, which share their targets. K: U or U * over-clustering."""

    method = METHOD
    pointer: Tensor  # of the memory, which view and head have each for itself
    batch_loss_per_head: Tensor  # (H,), of the batch-wise heads, as loss_per_head

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        self.experts = self.hparams["batch_head"]
        shape = self.hparams["num_large_crops"], self.hparams["num_heads"], self.hparams["queue_size"]
        novel = self.hparams["num_unlabeled_classes"]
        for name, columns in (("", novel), ("_over", novel * self.hparams["overcluster_factor"])):
            memory = torch.zeros(*shape, self.hparams["proj_dim"])
            self.register_memory(
                {f"memory{name}": memory, f"memory_targets{name}": torch.full((*shape, columns), -1.0)}
            )
        self.register_memory({"pointer": torch.tensor(0)})
        self.register_buffer("batch_loss_per_head", torch.zeros(shape[1]))
        self._ddp_params_and_buffers_to_ignore.append("batch_loss_per_head")

    def network(self, **sizes: Any) -> ComExNet:
        return ComExNet(self.hparams["batch_head"], **sizes)

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        mask = self.is_labeled(labels)
        where = slots(self.pointer, ~mask, self.hparams["queue_size"])
        totals: dict[str, Tensor] = {}
        for name in ("", "_over"):
            novel = self.novel_targets(outputs, name, mask, where)
            targets = self.full_targets(labels, novel)
            for kind, logits in self.logits(outputs, name, mask).items():
                totals[f"{kind}{name}"] = self.swapped_prediction(logits, targets)
        self.pointer.copy_(advance(self.pointer, ~mask, self.hparams["queue_size"]))
        means = {name: value.mean() for name, value in totals.items()}
        losses = {
            "loss": sum(means.values(), torch.zeros_like(means["class"])) / 2,
            "loss_cluster": means["class"],
            "loss_overcluster": means["class_over"],
            "loss_per_head": totals["class"].detach(),
        }
        if not self.experts:
            return losses
        losses |= {"loss_batch_cluster": means["batch"], "loss_batch_overcluster": means["batch_over"]}
        losses["batch_loss_per_head"] = totals["batch"].detach()
        return self.with_constraints(losses, {"expert": self.expert_norm(outputs, mask)})

    def novel_targets(self, outputs: Mapping[str, Tensor], name: str, mask: Tensor, where: Tensor) -> Tensor:
        """Targets (V, H, B, K) of unlabelled rows, zero in the others; the memory is written before it is read."""
        large, memory, kept = self.hparams["num_large_crops"], f"memory{name}", f"memory_targets{name}"
        targets = self.sinkhorn(outputs[f"logits_unlab{name}"][:large], ~mask)
        projections = outputs[f"proj_feats_unlab{name}"][:large]
        if self.experts:
            batch = outputs[f"logits_batch_unlab{name}"][:large, ..., self.num_labeled :]
            targets = (targets + self.sinkhorn(batch, ~mask)) / 2
            projections = F.normalize(projections + outputs[f"proj_feats_batch_unlab{name}"][:large], dim=-1)
        setattr(self, memory, remember(getattr(self, memory), projections, where))
        setattr(self, kept, remember(getattr(self, kept), targets, where))
        share, temperature = self.hparams["queue_alpha"], self.hparams["temperature"]
        full = (getattr(self, kept) >= 0).all()
        mixed = neighbours_targets(projections, targets, getattr(self, memory), getattr(self, kept), share, temperature)
        return torch.where(full, sharpen(mixed, self.hparams["sharp"]), targets) * ~mask[:, None]

    def logits(self, outputs: Mapping[str, Tensor], name: str, mask: Tensor) -> dict[str, Tensor]:
        """Logits (V, H, B, L+K) of the class-wise and the batch-wise experts."""
        novel = outputs[f"logits_unlab{name}"]
        found = {"class": discoverer.full_logits(outputs["logits_lab"], novel)}
        if self.experts:
            unlabelled = outputs[f"logits_batch_unlab{name}"]
            labelled = outputs["logits_batch_lab"].unsqueeze(1)  # (V, 1, B, L+U), zeros beyond
            labelled = F.pad(labelled, (0, unlabelled.shape[-1] - labelled.shape[-1]))
            found["batch"] = torch.where(mask[:, None], labelled, unlabelled)
        return found

    def expert_norm(self, outputs: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Mean norm of the batch-wise experts' logits where the classes of the other kind of rows are."""
        known, num_heads = self.num_labeled, outputs["logits_unlab"].shape[1]
        labelled = outputs["logits_batch_lab"].unsqueeze(1).expand(-1, num_heads, -1, -1)[..., known:]
        heads = (outputs[f"logits_batch_unlab{name}"][..., :known] for name in ("", "_over"))
        rows = mask[:, None].to(labelled.dtype)
        return (masked_norm(labelled, rows) + sum(masked_norm(logits, 1 - rows) for logits in heads)) / 3

    def accumulate(self, losses: dict[str, Tensor]) -> None:
        super().accumulate(losses)
        if self.experts:
            self.batch_loss_per_head += losses.pop("batch_loss_per_head").nan_to_num(0.0, 0.0, 0.0)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.batch_loss_per_head.zero_()

    def on_validation_epoch_start(self) -> None:
        if self.choosing:
            self.batch_loss_per_head.copy_(self.over_processes(self.batch_loss_per_head))
        super().on_validation_epoch_start()

    def predictions(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of one view, both experts added; the best batch-wise head speaks beside the best head."""
        outputs = self.model(images)
        if not self.experts:
            return outputs
        alpha, known, order = self.hparams["alpha"], self.num_labeled, self.batch_heads()
        lab, unlab = outputs["logits_batch_lab"], outputs["logits_batch_unlab"].index_select(0, order)
        every = discoverer.full_logits(outputs["logits_lab"][None], outputs["logits_unlab"][None])[0]
        return outputs | {
            "logits_lab": (outputs["logits_lab"] + alpha * lab[:, :known]) / (1 + alpha),
            "logits_unlab": (outputs["logits_unlab"] + alpha * unlab[..., known:]) / (1 + alpha),
            "logits_all": (every + alpha * lab + alpha * unlab) / (1 + 2 * alpha),
        }

    def batch_heads(self) -> Tensor:
        """For each head its batch-wise one: that of its number, but the best ones change places to be together."""
        order = torch.arange(len(self.batch_loss_per_head), device=self.batch_loss_per_head.device)
        best = self.batch_loss_per_head.argmin()
        swapped = torch.where(order == self.best_head, best, order)
        return torch.where((order == best) & (order != self.best_head), self.best_head, swapped)


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
