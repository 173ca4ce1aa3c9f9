"""Discover novel classes with UNO v2, the baseline without constraints (Fini et al., ICCV 2021, arXiv:2108.08536).

    python main_discover.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --num_heads 4 --overcluster_factor 10 \\
        --max_epochs 500 --batch_size 512 --multicrop --gpus 1 --precision 16 --comment 5_5

Published accuracy on the novel training images: CIFAR10-5 93.3, CIFAR100-20 90.5, CIFAR100-50 62.3, ImageNet 90.7.
The objective is in utils/methods/discoverer.py.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__)

from utils.methods.discoverer import Discoverer

__all__ = ["Discoverer"]

if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
