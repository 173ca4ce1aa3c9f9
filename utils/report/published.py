"""Published accuracies (%) on novel training images: the table in the README of the authors' IIC repository."""

PUBLISHED: dict[tuple[str, int, int], dict[str, float]] = {  # (dataset, L, U) -> method -> accuracy
    ("CIFAR10", 5, 5): {"k-means": 72.5, "UNO v2": 93.3, "IIC": 99.1},
    ("CIFAR100", 80, 20): {"k-means": 56.3, "UNO v2": 90.5, "IIC": 92.4},
    ("CIFAR100", 50, 50): {"k-means": 28.3, "UNO v2": 62.3, "IIC": 65.8},
    ("ImageNet", 882, 30): {"k-means": 71.9, "UNO v2": 90.7, "IIC": 91.9},  # one value for the splits A, B and C
}


def published(dataset: str, num_labeled: int, num_unlabeled: int) -> str:
    """The published values of a split in one phrase, or an empty string where there are none."""
    values = PUBLISHED.get((dataset, num_labeled, num_unlabeled), {})
    return ", ".join(f"{method} {value:.1f} %" for method, value in values.items())
