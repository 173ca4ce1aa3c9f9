"""Discover novel classes with IIC: UNO v2 plus both constraints (Li et al., CVPR 2023, arXiv:2210.03591).

    python main_discover_inter_intra.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --num_heads 4 --overcluster_factor 10 \\
        --factor_inter 0.05 --factor_intra 0.01 --max_epochs 500 --batch_size 512 --multicrop \\
        --gpus 1 --precision 16 --comment 5_5_inter_intra

    loss = swapped prediction + factor_inter * inter + factor_intra * intra

Published accuracy on the novel training images: CIFAR10-5 99.1, CIFAR100-20 92.4, CIFAR100-50 65.8, ImageNet 91.9.
"""

from utils import cli

FACTORS = {"inter": 0.05, "intra": 0.01}
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, factors=FACTORS)

from torch import Tensor

from utils.losses import inter_class_skld, intra_class_skld
from utils.methods import discoverer


class Discoverer(discoverer.Discoverer):
    """IIC: known and novel classes pushed apart (inter), views of one sample pulled together (intra)."""

    factors = FACTORS

    def constraints(self, logits: Tensor, mask_lab: Tensor) -> dict[str, Tensor]:
        temperature = self.hparams["temperature"]
        return {
            "inter": inter_class_skld(logits, mask_lab, temperature, self.reduce),
            "intra": intra_class_skld(logits, mask_lab, self.num_labeled, temperature, self.reduce),
        }


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
