#!/usr/bin/env python
"""How to use a trained model: its clustering metrics, and what its frozen features are worth with labels.

    python scripts/downstream.py --dataset digits
    python scripts/downstream.py --dataset stl10 --model models/finished/stl10_cd_128_seed42.pth

Takes the flags of evaluate.py. A linear probe and 20 nearest neighbours learn from the labels of the training images
and are tested on the test images (of datasets without any: on a fifth of the images, by a fixed draw). The same steps
are in scripts/downstream.ipynb.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import cli


def main(args) -> None:
    """Embed, print the metrics, train, test."""
    from utils.evaluation.downstream import linear_probe, nearest_neighbours, split_rows
    from utils.inference.cluster_embeddings import embed
    from utils.report.tables import cluster_table

    module, datamodule = embed(args)
    print(cluster_table(module.scores))
    evaluation = module.evaluation
    train, test = split_rows(evaluation.labels, datamodule.num_train)
    print(f"\ntest accuracy of classifiers on frozen outputs, {len(train):,} training and {len(test):,} test images")
    print(f"{'':10}  linear probe  nearest neighbours")
    for name, title in (("backbone", "backbone"), ("feature", "last layer")):
        vectors, labels = evaluation.outputs[name].cpu().numpy(), evaluation.labels
        parts = (vectors[train], labels[train], vectors[test], labels[test])
        print(f"{title:10}  {linear_probe(*parts):12.3f}  {nearest_neighbours(*parts):18.3f}")


if __name__ == "__main__":
    cli.run(main, cli.parse("cluster", doc=__doc__))
