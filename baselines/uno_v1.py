"""UNO v1 (Fini et al., ICCV 2021, arXiv:2108.08536): the first version of UNO, as its published numbers were made.

    python -m baselines.uno_v1 --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_uno_v1

    loss = cluster + over-cluster,   each: mean over heads, views v != w and classes c of
           - sum_b targets[v, b, c] log softmax_b(logits[w, :, c] / T)[b]

The softmax runs over the *samples* of the batch: every class has to find its samples. That was a slip, which v2
mends; on CIFAR10 the first version is nevertheless the better one, as its authors say. The projectors see features of
length 1. Over several processes the softmax stays within the batch of each.

Published accuracy on the novel training images: CIFAR10-5 96.1, CIFAR100-20 85.0, CIFAR100-50 52.9, ImageNet 90.6.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.Method(
    *("uno_v1", "UNO v1", "ICCV'21", (96.1, 85.0, 52.9, 90.6)),
    recipe={"num_heads": 4, "max_epochs": 200, "base_lr": 0.1, "weight_decay_opt": 1e-4},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from utils.losses import swapped_prediction
from utils.methods import discoverer
from utils.nets import MultiHeadResNet


class Discoverer(discoverer.Discoverer):
    """UNO v2 with the softmax over samples, unit features in the projectors, and a sum of both banks' losses."""

    method = METHOD

    def network(self, **sizes: Any) -> MultiHeadResNet:
        return MultiHeadResNet(**sizes, unit_features=True)

    def swapped_prediction(self, logits: Tensor, targets: Tensor) -> Tensor:
        return swapped_prediction(logits.mT, targets.mT, len(targets), self.hparams["temperature"])

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        losses = super().compute_losses(outputs, labels)
        return losses | {"loss": losses["loss_cluster"] + losses["loss_overcluster"]}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
