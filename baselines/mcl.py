"""MCL (Hsu et al., ICLR 2019, arXiv:1901.00544): pairs that a similarity network calls alike share a class.

    python -m baselines.mcl --dataset CIFAR10 --num_labeled_classes 5 --num_unlabeled_classes 5 \\
        --pretrained checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --gpus 1 --precision 16 --comment 5_5_mcl

    loss = cross-entropy (labelled) + MCL (unlabelled) + cross-entropy of the similarity network (labelled pairs)
    MCL: -mean_ij log(s_ij p_i . p_j + (1 - s_ij)(1 - p_i . p_j)),   p: distributions of one view over novel classes

The similarity network learns from pairs of labelled rows whether two features are of one class, beside the rest
rather than before it, and its answers for pairs of unlabelled rows are s; no gradient goes from it into the encoder.

Published accuracy on the novel training images: CIFAR10-5 70.9, CIFAR100-20 21.5, ImageNet 74.4.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.similarity_method("mcl", "MCL", "ICLR'19", (70.9, 21.5, None, 74.4))
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("discover", doc=__doc__, method=METHOD)

from torch import Tensor

from utils.losses import mcl
from utils.methods.similarity_discoverer import SimilarityDiscoverer


class Discoverer(SimilarityDiscoverer):
    """Pairs by the similarity network, likelihood of one view."""

    method = METHOD

    def pair_loss(self, first: Tensor, second: Tensor, similar: Tensor, mask: Tensor) -> Tensor:
        return mcl(first, 2 * similar.int() - 1, mask)


if __name__ == "__main__":
    from utils.experiment import discover

    cli.run(lambda args: discover(Discoverer, args), ARGS)
