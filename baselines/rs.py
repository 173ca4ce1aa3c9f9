"""RS (AutoNovel without its incremental head; Han et al., ICLR 2020, arXiv:2002.05714): pairs by ranking statistics.

    python -m baselines.rs --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_rs

    loss = cross-entropy (labelled) + pair BCE (unlabelled) + coefficient * ramp(epoch) * consistency
    BCE: -mean_ij log(s_ij p_j . q_i + (1 - s_ij)(1 - p_j . q_i)),   p, q: both views' distributions over novel classes
    s_ij = 1 where the sets of the 5 largest features of rows i and j are equal

The published runs start from self-supervision (RotNet) on all images before pretraining; early layers stay as they
are. CIFAR100: --rampup_length 150 --rampup_coefficient 50.

Published accuracy on the novel training images: CIFAR10-5 90.4, CIFAR100-20 73.2, CIFAR100-50 39.2, ImageNet 82.5.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.pair_method("rs", "RS", "ICLR'20", (90.4, 73.2, 39.2, 82.5), "topk", digits={"topk": 1})
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from utils.methods.pair_discoverer import PairDiscoverer


class Discoverer(PairDiscoverer):
    """The common objective of pairs as it is."""

    method = METHOD


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
