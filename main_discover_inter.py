"""Discover novel classes with UNO v2 and the inter-class constraint alone (ablation of IIC, arXiv:2210.03591).

    python main_discover_inter.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --num_heads 4 --overcluster_factor 10 \\
        --factor_inter 0.01 --max_epochs 500 --batch_size 512 --multicrop --gpus 1 --precision 16 --comment 5_5_inter

    loss = swapped prediction + factor_inter * inter
"""

from utils import cli

FACTORS = {"inter": 0.01}
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, factors=FACTORS)

from torch import Tensor

from utils.losses import inter_class_skld
from utils.methods import discoverer


class Discoverer(discoverer.Discoverer):
    """Known and novel classes pushed apart."""

    factors = FACTORS

    def constraints(self, logits: Tensor, mask_lab: Tensor) -> dict[str, Tensor]:
        return {"inter": inter_class_skld(logits, mask_lab, self.hparams["temperature"], self.reduce)}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
