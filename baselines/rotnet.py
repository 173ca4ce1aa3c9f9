"""RotNet (Gidaris et al., ICLR 2018, arXiv:1803.07728): by how much is an image turned? AutoNovel's first stage.

    python -m baselines.rotnet --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --gpus 1 --precision 16 --comment 5_5

    loss = cross-entropy of the four turns by 0, 90, 180 and 270 degrees of every image, labelled or not

No label is used. Leaves checkpoints_iic/rotnet-<arch>-<dataset>-<comment>.cp, an encoder without a labelled head, from
which supervised pretraining starts (main_pretrain.py --pretrained), and KCL, MCL, DTC, RS, RS+, NCL, OpenMix and
DualRank from that, as published. ``val/acc`` is of the turns, on all test images. --batch_size counts images before
they are turned.

Published accuracy of discovery: none of its own.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.Method(
    *("rotnet", "RotNet", "ICLR'18", (None, None, None, None)),
    recipe={"max_epochs": 200, "base_lr": 0.1, "weight_decay_opt": 5e-4, "batch_size": 128},
    always={"num_large_crops": 1, "temperature": 1.0},
    stage="pretrain",
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("pretrain", doc=__doc__, method=METHOD)

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.methods.pretrainer import Pretrainer
from utils.transforms.functional import quarter_turns


class RotNet(Pretrainer):
    """Pretraining whose classes are the four turns, on the images of all classes.

    Raises:
        UserError: with ``--backbone``, whose weights are another start.
    """

    method = METHOD
    images = "all"

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        if self.hparams["backbone"]:
            raise UserError("RotNet trains the ResNet of --arch from pixels: leave --backbone away")
        self.model.head_lab.requires_grad_(False)  # nothing is asked of it
        self.turns = nn.Linear(self.model.encoder.num_features, 4)

    def answers(self, views: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        feats = self.model([quarter_turns(view) for view in views])["feats"]  # (V, 4B, D)
        targets = torch.arange(4, device=feats.device).repeat_interleave(feats.shape[1] // 4)
        return self.turns(feats).flatten(0, 1), targets.repeat(len(feats))

    def to_save(self) -> tuple[dict[str, Tensor], None]:
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if name.startswith("encoder.")}, None


if __name__ == "__main__":
    from utils.experiment import pretrain

    cli.run(lambda args: pretrain(args, RotNet), ARGS)
