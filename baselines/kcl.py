"""KCL (Hsu et al., ICLR 2018, arXiv:1711.10125): divergences of pairs, small or above a margin by a similarity network.

    python -m baselines.kcl --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_kcl

    loss = cross-entropy (labelled) + KCL (unlabelled) + cross-entropy of the similarity network (labelled pairs)
    KCL: mean_ij of KL(p_i || p_j) where s_ij, of max(0, margin - KL(p_i || p_j)) where not;   p_i has no gradient

The similarity network is that of MCL (baselines/mcl.py).

Published accuracy on the novel training images: CIFAR10-5 72.3, CIFAR100-20 42.1, ImageNet 73.8.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.similarity_method("kcl", "KCL", "ICLR'18", (72.3, 42.1, None, 73.8), "margin")
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from torch import Tensor

from utils.losses import kcl
from utils.methods.similarity_discoverer import SimilarityDiscoverer


class Discoverer(SimilarityDiscoverer):
    """Pairs by the similarity network, divergences of one view."""

    method = METHOD

    def pair_loss(self, first: Tensor, second: Tensor, similar: Tensor, mask: Tensor) -> Tensor:
        return kcl(first, 2 * similar.int() - 1, self.hparams["margin"], mask)


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
