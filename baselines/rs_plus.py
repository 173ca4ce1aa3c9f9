"""RS+ (AutoNovel with its incremental head; Han et al., ICLR 2020, arXiv:2002.05714): RS, and one head for all classes.

    python -m baselines.rs_plus --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_rs_plus

    loss = RS with the L+U outputs in place of the labelled head's + increment_coefficient * ramp(epoch) * added
    added: cross-entropy of unlabelled rows with L + argmax of the novel head

The head with all L+U classes starts from the pretrained labelled head and answers for known classes and among all
classes; the novel head answers for novel ones. CIFAR100: --max_epochs 400 --batch_size 256 --rampup_length 300
--rampup_coefficient 25.

Published accuracy on the novel training images: CIFAR10-5 91.7, CIFAR100-20 75.2, CIFAR100-50 44.1, ImageNet 82.5.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

FLAGS = ("topk", "increment_coefficient")
METHOD = cli.pair_method("rs_plus", "RS+", "ICLR'20", (91.7, 75.2, 44.1, 82.5), *FLAGS, digits={"topk": 1})
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.losses.semi_supervised import labeled_cross_entropy
from utils.methods.pair_discoverer import PairDiscoverer, Term
from utils.nets.cosine_net import CosineNet


class Discoverer(PairDiscoverer):
    """RS with a head of all L+U classes, whose first columns are the outputs for known ones."""

    method = METHOD

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        known = self.model.head_lab.prototypes.weight.requires_grad_(False)  # the start of the head that is trained
        with torch.no_grad():
            self.model.head_all.prototypes.weight[: self.num_labeled].copy_(known)

    def network(self, **sizes: Any) -> CosineNet:
        return CosineNet(joint=True, **sizes)

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        outputs = self.model(views)
        return outputs | {"logits_lab": outputs["logits_all"][:, 0]}  # (2, B, L+U)

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        guesses = self.num_labeled + outputs["logits_unlab"][0, 0].argmax(dim=-1)
        added = labeled_cross_entropy(outputs["logits_lab"][0], guesses, ~mask_lab, self.hparams["temperature"])
        return {"loss_increment": (self.hparams["increment_coefficient"] * self.ramp, added)}

    def predictions(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.model(images)
        return outputs | {"logits_lab": outputs["logits_all"][0, :, : self.num_labeled]}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
