"""Semi-supervised k-means on pretrained features (Vaze et al., CVPR 2022): labelled images stay with their class.

    python -m baselines.semi_kmeans --checkpoint checkpoints_iic/pretrain-resnet18-CIFAR10-5_5.cp --dataset CIFAR10 \\
        --num_labeled_classes 5 --num_unlabeled_classes 5

No training: metrics and confusion matrix are in logs/baselines-<weights>-<dataset>/semi_kmeans/ (--comment makes
another folder), and there is no checkpoint. The clustering is that of generalized category discovery, on the images of
this split.

Published numbers are of another problem, in which unlabelled images are of known classes too.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli

METHOD = cli.Method("semi_kmeans", "semi-supervised k-means", "CVPR'22", (None, None, None, None), stage="features")
if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("features", doc=__doc__)


if __name__ == "__main__":
    from utils.inference.clustered_features import cluster_features

    cli.run(lambda args: cluster_features(args, "semi_kmeans"), ARGS)
