"""t-SNE of features: neighbours stay neighbours, a sample is fair, and the picture has what it should have."""

import numpy as np

from utils.report.embedding import plot_embedding, sample_rows, tsne


def blobs(classes=3, size=20, dim=60):
    centres = np.random.default_rng(0).normal(size=(classes, dim))
    labels = np.arange(classes * size) % classes
    return (centres[labels] + 0.1 * np.random.default_rng(1).normal(size=(len(labels), dim))).astype(np.float32), labels


def test_nearest_neighbours_are_of_the_same_class():
    features, labels = blobs()
    points = tsne(features)
    assert points.shape == (60, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(60)
    assert (labels[distances.argmin(axis=1)] == labels).all()
    np.testing.assert_array_equal(points, tsne(features))


def test_a_sample_has_the_same_share_of_every_label():
    labels = np.repeat([0, 1, 2, -1], [1000, 500, 100, 400])
    rows = sample_rows(labels, 200)
    assert len(np.unique(rows)) == 200
    counts = [int((labels[rows] == label).sum()) for label in (0, 1, 2, -1)]
    np.testing.assert_allclose(counts, [100, 50, 10, 40], atol=1)
    np.testing.assert_array_equal(sample_rows(labels[:7], 200), np.arange(7))


def test_known_and_novel_are_told_apart_and_many_classes_need_no_legend():
    points, labels = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    few = plot_embedding(points, labels, ("cat", "dog", "2"), num_known=2).axes[0]
    assert [text.get_text() for text in few.get_legend().get_texts()] == ["cat (known)", "dog (known)", "2 (novel)"]
    many = plot_embedding(points, np.arange(60) % 20 - 1, [f"class {i}" for i in range(19)], num_known=15).axes[0]
    assert many.get_legend() is None
    assert [text.get_text() for text in many.texts] == [f"class {i}" for i in range(15, 19)]
