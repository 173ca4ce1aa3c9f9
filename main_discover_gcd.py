"""Generalized discovery with SimGCD: the unlabelled images are of known and of novel classes together (Wen et al., ICCV
2023, arXiv:2211.11727; the setting is that of Vaze et al., "GCD", CVPR 2022).

    python main_discover_gcd.py --dataset folder --data_dir photos --num_labeled_classes 4 --num_unlabeled_classes 3 \\
        --backbone lite0 --comment photos

    loss = (1 - w) (self-distillation + memax_weight * mean-entropy penalty + contrastive)
           + w (cross-entropy + supervised contrastive),   w = sup_weight

Of datasets with all labels, half of the known classes' training images keep theirs (--prop_train_labels). Published
accuracy on the unlabelled training images, all / known / novel classes, with the last block of a DINO ViT-B/16 trained:
CIFAR10 97.1 / 95.1 / 98.1, CIFAR100 80.1 / 81.2 / 77.8, ImageNet-100 83.0 / 93.1 / 77.9. The objective is in
utils/methods/gcd_discoverer.py.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("gcd", doc=__doc__)

from utils.methods.gcd_discoverer import GCDDiscoverer

__all__ = ["GCDDiscoverer"]

if __name__ == "__main__":
    from utils.experiment import discover_generalized

    cli.run(discover_generalized, ARGS)
