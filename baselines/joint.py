"""Joint (Jia et al., ICCV 2021, arXiv:2104.12673): RS by winner-take-all codes, with contrastive learning, end to end.

    python -m baselines.joint --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_joint

    loss = RS, pairs alike where wta_threshold of wta_codes codes agree + contrast
    contrast: each view finds its other view, and where labelled all rows of its class, among all rows of the batch
    code: which of wta_k channels of the features, drawn once, is the largest

After the paper, not checked against code, which is not published; sizes and temperatures are guessed. It works without
--pretrained too, as published.

Published accuracy on the novel training images: CIFAR10-5 93.4, CIFAR100-20 76.4, ImageNet 86.7.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.pair_method(
    *("joint", "Joint", "ICCV'21", (93.4, 76.4, None, 86.7)),
    *("wta_codes", "wta_k", "wta_threshold", "contrast_dim", "contrast_temperature"),
    recipe={"freeze_early": False},
    digits={"wta_threshold": 350},
)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from utils.data.randomness import Stream, stream_seed
from utils.losses import joint_contrast
from utils.losses.pairwise import winner_take_all
from utils.methods.pair_discoverer import PairDiscoverer, Term
from utils.nets.cosine_net import CosineNet


class Discoverer(PairDiscoverer):
    """RS with pairs by winner-take-all codes of the features, and one contrast over labelled and unlabelled rows."""

    method = METHOD
    subsets: Tensor  # (codes, k) channels

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        generator = torch.Generator().manual_seed(stream_seed(Stream.METHOD, self.hparams["seed"]))
        order = torch.rand(self.hparams["wta_codes"], self.model.encoder.num_features, generator=generator).argsort(1)
        self.register_buffer("subsets", order[:, : self.hparams["wta_k"]].clone())

    def network(self, **sizes: Any) -> CosineNet:
        return CosineNet(contrast_dim=self.hparams["contrast_dim"], **sizes)

    def similar(self, outputs: Mapping[str, Tensor], mask_lab: Tensor) -> Tensor:
        return winner_take_all(outputs["feats"][0], self.subsets, self.hparams["wta_threshold"])

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        projections, temperature = outputs["contrast"].flatten(0, 1), self.hparams["contrast_temperature"]
        return {"loss_contrast": (1.0, joint_contrast(projections, labels, mask_lab, temperature))}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
