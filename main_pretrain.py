"""Pretrain encoder and labelled head on the labelled classes (first stage of UNO, arXiv:2108.08536, and IIC).

    python main_pretrain.py --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --max_epochs 200 --batch_size 256 --gpus 1 --precision 16 --comment 5_5

leaves checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp for the --pretrained flag of the discovery mains.
Two large views, cross-entropy at temperature 0.1; see utils/methods/pretrainer.py.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("pretrain", doc=__doc__)

from utils.methods.pretrainer import Pretrainer

__all__ = ["Pretrainer"]

if __name__ == "__main__":
    from utils.experiment import pretrain

    cli.run(pretrain, ARGS)
