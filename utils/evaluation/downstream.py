"""What frozen features are worth to somebody with labels: a linear probe and nearest neighbours.

N training and M test samples, D dimensions.
"""

import numpy as np

from utils.errors import UserError


def split_rows(labels: np.ndarray, num_train: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to be tested on: the dataset's own parts, or four fifths and one fifth without them.

    Args:
        labels: (R,) of all images, those of training first; rows without a label (-1) are in neither part.
        num_train: how many are training images.

    Raises:
        UserError: when there are no labels to learn from.
    """
    known = np.flatnonzero(labels >= 0)
    train, test = known[known < num_train], known[known >= num_train]
    if not len(test):
        order = np.random.default_rng(0).permutation(train)
        train, test = np.sort(order[len(order) // 5 :]), np.sort(order[: len(order) // 5])
    if len(np.unique(labels[train])) < 2 or not len(test):
        raise UserError("a downstream task needs labelled images of two classes at least, and some to test on")
    return train, test


def linear_probe(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, seed: int = 0
) -> float:
    """Test accuracy of multinomial logistic regression on standardised frozen features (N, D), labels (N,)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    return float(probe.fit(train, train_labels).score(test, test_labels))


def nearest_neighbours(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, neighbours: int = 20
) -> float:
    """Test accuracy of a vote of the nearest training samples by cosine, weighted by closeness."""
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = min(neighbours, len(train))
    classifier = KNeighborsClassifier(neighbours, metric="cosine", weights="distance")
    return float(classifier.fit(train, train_labels).score(test, test_labels))
