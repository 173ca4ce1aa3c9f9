"""k-means on the pretrained features of the unlabelled training images: the first row of the published table.

    python -m baselines.kmeans --checkpoint checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --dataset CIFAR10 \\
        --num_labeled_classes 5 --num_unlabeled_classes 5

No training: metrics and confusion matrix are in logs/baselines-<weights>-<dataset>/kmeans/ (--comment makes another
folder), and there is no checkpoint. Known classes are the means of their training images.

Published accuracy on the novel training images: CIFAR10-5 72.5, CIFAR100-20 56.3, CIFAR100-50 28.3, ImageNet 71.9.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli
from utils.report.published import PUBLISHED

METHOD = cli.Method("kmeans", "k-means", "Classic", PUBLISHED["k-means"], stage="features")
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("features", doc=__doc__)


if __name__ == "__main__":
    from utils.inference.clustered_features import cluster_features

    cli.run(lambda args: cluster_features(args, "kmeans"), ARGS)
