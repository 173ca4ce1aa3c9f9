"""Published accuracies (%) on novel training images: the table in the README of the authors' IIC repository."""

SPLITS = (("CIFAR10", 5, 5), ("CIFAR100", 80, 20), ("CIFAR100", 50, 50), ("ImageNet", 882, 30))  # dataset, L and U
PUBLISHED = {  # method -> accuracy on each split; one value for the splits A, B and C of ImageNet
    "k-means": (72.5, 56.3, 28.3, 71.9),
    "UNO v2": (93.3, 90.5, 62.3, 90.7),
    "IIC": (99.1, 92.4, 65.8, 91.9),
}


def published(dataset: str, num_labeled: int, num_unlabeled: int) -> str:
    """The published values of a split in one phrase, or an empty string where there are none."""
    split = (dataset, num_labeled, num_unlabeled)
    if split not in SPLITS:
        return ""
    return ", ".join(f"{method} {values[SPLITS.index(split)]:.1f} %" for method, values in PUBLISHED.items())
