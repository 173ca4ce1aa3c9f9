#!/usr/bin/env python
"""What discovery has to beat on the same pretrained features: k-means, and semi-supervised k-means.

    python scripts/baselines.py --checkpoint checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --dataset CIFAR10 \\
        --num_labeled_classes 5 --num_unlabeled_classes 5

k-means is the first row of the published table. Prints the metrics of discovery for both and leaves them, with the
confusion matrix, in logs/baselines-<weights>/kmeans/ and semi_kmeans/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(args) -> None:
    """Cluster, print, save."""
    from utils.inference.clustered_features import cluster_features
    from utils.inference.features import BASELINES

    cluster_features(args, BASELINES)


if __name__ == "__main__":
    from utils import cli

    cli.run(main, cli.parse("features", doc=__doc__))
