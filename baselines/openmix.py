"""OpenMix (Zhong et al., CVPR 2021, arXiv:2004.05551): RS, and images mixed with labelled and with confident ones.

    python -m baselines.openmix --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_openmix

    loss = RS + mix_weight * ramp(epoch) * cross-entropy over all L+U classes of mixed images with mixed targets
    mixed: s * partner + (1 - s) * image, s ~ U(1/2, 1); half of the partners are labelled, half are unlabelled ones
    whose novel distribution is above anchor_confidence
    target: the label, or the novel distribution of the other view

After the paper's abstract, not checked against code, which is not published: the shares, the half, the confidence and
the loss are guessed. The mixed images cost one more forward and backward pass of one view.

Published accuracy on the novel training images: CIFAR10-5 95.3, ImageNet 85.7.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

FLAGS = ("topk", "mix_weight", "anchor_confidence")
METHOD = cli.pair_method("openmix", "OpenMix", "CVPR'21", (95.3, None, None, 85.7), *FLAGS)
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from utils.losses.mixing import choose, mix, soft_cross_entropy
from utils.methods.pair_discoverer import PairDiscoverer, Term


class Discoverer(PairDiscoverer):
    """RS, with a joint distribution over known and novel classes that is learnt on mixed images."""

    method = METHOD

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        outputs = self.model(views)
        mask_lab = self.is_labeled(labels)
        with torch.no_grad():
            novel = self.distributions(outputs["logits_unlab"][:, 0])[1]
            targets = self.full_targets(labels, novel * ~mask_lab[:, None])  # (B, L+U)
            anchors = ~mask_lab & (novel.max(dim=1).values > self.hparams["anchor_confidence"])
            generator = self.generator()
            partners = choose(mask_lab, anchors, generator)
            shares = 0.5 + torch.rand(len(labels), generator=generator, device=labels.device) / 2
        mixed = self.model([mix(views[0], partners, shares)])
        logits = torch.cat([mixed["logits_lab"][0], mixed["logits_unlab"][0, 0]], dim=-1)
        return outputs | {"logits_mixed": logits, "targets_mixed": mix(targets, partners, shares)}

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        value = soft_cross_entropy(outputs["logits_mixed"], outputs["targets_mixed"], self.hparams["temperature"])
        return {"loss_mix": (self.hparams["mix_weight"] * self.ramp, value)}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
