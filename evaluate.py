"""Evaluate a model of contrastive disentangling or SimCLR: k-means on the backbone and on the last layer.

    python evaluate.py --dataset stl10
    python evaluate.py --dataset stl10 --epoch 800
    python evaluate.py --dataset stl10 --model path/to/model.pth

Prints NMI, ARI and accuracy over all training and test images, and writes them and the clusters beside the model.
--model wins over --epoch; without either it is the model of the last epoch of config/config.yaml. Published models
are read as they are.
"""

from utils import cli

if __name__ == "__main__":  # before torch is imported: --help and a mistyped flag are answered at once
    ARGS = cli.parse("cluster", doc=__doc__)


def main(args) -> None:
    """Cluster, print, write."""
    from utils.inference.cluster_embeddings import cluster
    from utils.report.tables import cluster_table

    result = cluster(args)
    print("\n".join([cluster_table(result.scores), *(f"{name:9} {path}" for name, path in result.files.items())]))


if __name__ == "__main__":
    cli.run(main, ARGS)
