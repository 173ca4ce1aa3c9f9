"""t-SNE of features: neighbours stay neighbours, a sample is fair, and the picture has what it should have."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from utils.report.plots.embedding import plot_embedding, plot_panels, sample_rows, tsne


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


def test_no_known_class_shares_a_colour_with_a_novel_one():
    points, labels = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 12
    for known in (1, 5, 6, 11):
        marks = plot_embedding(points, labels, [f"class {i}" for i in range(12)], num_known=known).axes[0].collections
        colors = [tuple(dots.get_facecolors()[0]) for dots in marks if len(dots.get_offsets())]
        assert len(colors) == 12
        assert not {*colors[:known]} & {*colors[known:]}


def test_a_figure_shows_itself_in_a_notebook():
    features, labels = blobs(size=5)
    picture = plot_panels({"backbone": torch.from_numpy(features)}, labels, "abc")._repr_png_()
    assert Image.open(io.BytesIO(picture)).width > 400


def test_panels_have_a_legend_of_the_classes_unless_there_are_many():
    features, labels = blobs(classes=7)
    outputs = {"backbone": torch.from_numpy(features), "feature": torch.from_numpy(features[:, :5])}
    few = plot_panels(outputs, labels - 1, [f"class_{i}" for i in range(6)])  # the first nobody knows
    assert [axis.get_title() for axis in few.axes] == ["backbone", "last layer"]
    assert [text.get_text() for text in few.legends[0].get_texts()] == [f"class {i}" for i in range(6)]
    assert [len(dots.get_offsets()) for dots in few.axes[0].collections] == [20] * 7
    many = plot_panels(outputs, np.arange(140) % 30, [str(i) for i in range(30)])
    assert not many.legends
    assert [len(dots.get_offsets()) for dots in many.axes[1].collections] == [140]


@pytest.mark.parametrize("shape", [(20, 8), (20, 1), (1, 8), (2, 8), (3, 1)])
def test_samples_that_have_no_neighbours_are_on_one_spot(shape):
    """A network that has collapsed, and a share of the images that is tiny: t-SNE itself would end the process."""
    features = np.full(shape, 0.3, np.float32) if shape[0] > 3 else np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(tsne(features), np.zeros((shape[0], 2)))
    figure = plot_panels({"feature": torch.from_numpy(features)}, np.zeros(shape[0], int), ["a"])
    assert figure.savefig(io.BytesIO()) is None


def test_one_dimension_is_drawn():
    points = tsne(np.random.default_rng(0).random((20, 1)), unit=False)
    assert points.shape == (20, 2)
    assert np.isfinite(points).all()
