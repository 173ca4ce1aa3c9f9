"""NCL (Zhong et al., CVPR 2021, arXiv:2106.10731): RS, and neighbours in a memory are positives.

    python -m baselines.ncl --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_ncl

    loss = RS, pairs alike where the cosine is above costhre + w_ncl_la * labelled + w_ncl_ulb * unlabelled
    either: -mean_i sum_k t_ik log softmax_k([q_i . k_i, q_i . memory] / m_t),   q, k: both views' unit features
    t: even over the other view and the memory of the row's class; for unlabelled rows w_pos for the other view, the
    rest over the nearest of all

The unlabelled term begins with the second epoch. --hard_negatives adds mixtures of far novel and known rows from the
memories; the published CIFAR10 runs have none. CIFAR100: --rampup_length 150 --rampup_coefficient 50
--hard_negatives --num_far 400. The published code would draw on 400 far rows for all but five novel classes.

Published accuracy on the novel training images: CIFAR10-5 93.4, CIFAR100-20 86.6, ImageNet 90.7.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.pair_method(
    *("ncl", "NCL", "CVPR'21", (93.4, 86.6, None, 90.7)),
    *("costhre", "m_size", "m_t", "w_pos", "knn", "w_ncl_la", "w_ncl_ulb"),
    *("hard_negatives", "hard_negative_start", "hard_iter", "num_hard", "num_far"),
    digits={"m_size": 500},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.losses.neighbourhood import class_targets, contrast, hard_negatives, memory_logits, neighbour_targets
from utils.losses.pairwise import cosine_pairs
from utils.losses.queue import advance, remember, slots
from utils.methods.pair_discoverer import PairDiscoverer, Term

KINDS = ("lab", "unlab")


class Discoverer(PairDiscoverer):
    """RS with cosine pairs, and a memory of unit features of either kind of rows, the labelled with labels."""

    method = METHOD
    labels_lab: Tensor  # (M,), of the labelled memory; -1 where nothing has been written
    memory_lab: Tensor  # (M, D)
    memory_unlab: Tensor
    begun: Tensor  # 1 from the second epoch on

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        size, features = self.hparams["m_size"], self.model.encoder.num_features
        for kind in KINDS:
            noise = torch.rand(size, features) * 2 - 1
            memory = noise * (3 / features) ** 0.5  # of about unit length
            self.register_memory({f"memory_{kind}": memory, f"pointer_{kind}": torch.tensor(0)})
        self.register_memory({"labels_lab": torch.full((size,), -1)})
        self.register_buffer("begun", torch.tensor(1.0))

    def similar(self, outputs: Mapping[str, Tensor], mask_lab: Tensor) -> Tensor:
        return cosine_pairs(outputs["feats"][0], self.hparams["costhre"])

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        query, key = F.normalize(outputs["feats"].to(self.memory_lab.dtype), dim=-1).unbind()
        key = key.detach()
        temperature, size = self.hparams["m_t"], self.hparams["m_size"]
        logits = memory_logits(query, key, self.memory_unlab, temperature)
        neighbours = self.hparams["knn"] or max(1, size // self.hparams["num_unlabeled_classes"] // 2)
        targets, negatives = neighbour_targets(logits, neighbours, self.hparams["w_pos"]), None
        if "order" in outputs:
            memories, hard = (self.memory_unlab, self.memory_lab), self.hparams["num_hard"]
            negatives = hard_negatives(query, *memories, outputs["order"], hard, temperature)
        unlabelled = contrast(logits, targets, ~mask_lab, negatives)
        logits = memory_logits(query, key, self.memory_lab, temperature)
        labelled = contrast(logits, class_targets(logits, labels, self.labels_lab), mask_lab)
        self.keep(query, labels, mask_lab)
        return {
            "loss_ncl_la": (self.hparams["w_ncl_la"], labelled),
            "loss_ncl_ulb": (self.hparams["w_ncl_ulb"] * self.begun, unlabelled),
        }

    def keep(self, query: Tensor, labels: Tensor, mask_lab: Tensor) -> None:
        """Write the first view into the memories."""
        for kind, rows in zip(KINDS, (mask_lab, ~mask_lab), strict=True):
            pointer, size = getattr(self, f"pointer_{kind}"), self.hparams["m_size"]
            where = slots(pointer, rows, size)
            setattr(self, f"memory_{kind}", remember(getattr(self, f"memory_{kind}"), query, where))
            if kind == "lab":
                self.labels_lab = remember(self.labels_lab, labels, where)
            setattr(self, f"pointer_{kind}", advance(pointer, rows, size))

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        outputs = super().outputs(views, labels)
        if self.hparams["hard_negatives"] and self.current_epoch >= self.hparams["hard_negative_start"]:
            shape = len(labels), self.hparams["hard_iter"], self.hparams["m_size"]
            noise = torch.rand(shape, generator=self.generator(), device=labels.device)
            outputs["order"] = noise.argsort(dim=-1)[..., : self.hparams["num_far"]]
        return outputs

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.begun.fill_(float(self.current_epoch > 0))


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
