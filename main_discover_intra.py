"""Discover novel classes with UNO v2 and the intra-class constraint alone (ablation of IIC, arXiv:2210.03591).

    python main_discover_intra.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --num_heads 4 --overcluster_factor 10 \\
        --factor_intra 0.01 --max_epochs 500 --batch_size 512 --multicrop --gpus 1 --precision 16 --comment 5_5_intra

    loss = swapped prediction + factor_intra * intra
"""

from utils import cli

FACTORS = {"intra": 0.01}
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, factors=FACTORS)

from torch import Tensor

from utils.losses import intra_class_skld
from utils.methods import discoverer


class Discoverer(discoverer.Discoverer):
    """Views of one sample pulled together by their symmetric KL divergence."""

    factors = FACTORS

    def constraints(self, logits: Tensor, mask_lab: Tensor) -> dict[str, Tensor]:
        return {"intra": intra_class_skld(logits, mask_lab, self.num_labeled, self.hparams["temperature"], self.reduce)}


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
