"""rKD (Gu et al., ICCV 2023, arXiv:2307.09158): novel images keep their relation to the known classes.

    python -m baselines.rkd --dataset CIFAR100 --num_labeled_classes 50 --num_unlabeled_classes 50 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR100-50_50.cp --batch_size 512 --multicrop \\
        --gpus 1 --precision 16 --comment 50_50_rkd

    loss = swapped prediction + factor_kd * kd,   kd: over unlabelled rows of the large views, at t = 4 T
           - 16 w softmax(teacher / t) . log softmax(known logits / t),   w = P(known class) / its mean, with gradient

The teacher is the pretrained network, frozen and in evaluation mode; it sees the large views. UNO v2 without its
over-clustering bank is the rest. The step costs one more forward pass of the encoder.

Published accuracy on the novel training images: CIFAR100-20 91.2, CIFAR100-50 65.3.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.Method(
    *("rkd", "rKD", "ICCV'23", (None, 91.2, 65.3, None)),
    flags=("kd_temperature",),
    factors={"kd": 0.1},
    recipe={"num_heads": 4},
    always={"overcluster_factor": 0},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from utils.errors import UserError
from utils.losses import relation_distillation
from utils.methods import discoverer
from utils.methods.teacher import Teacher


class Discoverer(discoverer.Discoverer):
    """UNO v2's cluster loss, and the pretrained network's view of novel images in terms of known classes."""

    method = METHOD

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        self.teacher = Teacher(self.model)

    def on_fit_start(self) -> None:
        if not self.hparams["pretrained"]:
            raise UserError("rKD needs --pretrained: that network is the teacher")
        self.teacher.to(self.loss_per_head)

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        return self.model(views) | {"teacher_logits_lab": self.teacher(views[: self.hparams["num_large_crops"]])}

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """As every Discoverer's; the outputs hold ``teacher_logits_lab`` (V, B, L) too."""
        losses, factor = super().compute_losses(outputs, labels), self.hparams["kd_temperature"]
        large = slice(0, self.hparams["num_large_crops"])
        logits = discoverer.full_logits(outputs["logits_lab"][large], outputs["logits_unlab"][large])
        distillation = relation_distillation(
            logits,
            outputs["teacher_logits_lab"][large],
            self.is_labeled(labels),
            factor * self.hparams["temperature"],
            self.reduce,
        )
        return self.with_constraints(losses, {"kd": factor**2 * distillation.mean()})


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
