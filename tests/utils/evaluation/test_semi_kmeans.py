"""k-means and semi-supervised k-means against slow versions and scikit-learn; the number of classes of clear blobs."""

import numpy as np
import pytest
import torch

from utils.evaluation.class_number import METHODS, candidates_up_to, default_largest, estimate
from utils.evaluation.metrics import cluster_acc
from utils.evaluation.semi_kmeans import kmeans_centroids, semi_kmeans


def blobs(classes, size=30, spread=0.15, seed=0):
    """Points around orthogonal unit vectors, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(size)
    return torch.eye(16)[labels] + spread * torch.randn(len(labels), 16, generator=generator), labels


def inertia(x, centroids):
    return float(torch.cdist(x, centroids).square().amin(dim=1).sum())


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_the_batched_version_is_as_good_as_scikit_learn_s(spread):
    x, _ = blobs(6, spread=spread)
    reference, _ = kmeans_centroids(x, 6, restarts=10)
    nothing = torch.zeros(0, 16), torch.zeros(0, dtype=torch.long)
    centroids, clusters = semi_kmeans(x, *nothing, num_labeled=0, k=6, restarts=10)
    assert inertia(x, centroids) <= 1.02 * inertia(x, reference)
    assert torch.equal(clusters, torch.cdist(x, centroids).argmin(dim=1))
    for cluster in range(6):
        torch.testing.assert_close(centroids[cluster], x[clusters == cluster].mean(dim=0))


def test_labelled_images_stay_in_their_class_and_pull_its_centroid():
    x, labels = blobs(5, spread=0.25)
    known = labels < 2
    labeled, classes = x[known][::2], labels[known][::2]
    unlabeled, truth = torch.cat([x[known][1::2], x[~known]]), torch.cat([labels[known][1::2], labels[~known]])
    centroids, clusters = semi_kmeans(unlabeled, labeled, classes, num_labeled=2, k=3, restarts=5)
    assert centroids.shape == (5, 16)
    everything, members = torch.cat([unlabeled, labeled]), torch.cat([clusters, classes])
    for cluster in range(5):  # the fixed point, straight from the definition
        torch.testing.assert_close(centroids[cluster], everything[members == cluster].mean(dim=0))
    assert torch.equal(clusters, torch.cdist(unlabeled, centroids).argmin(dim=1))
    assert cluster_acc(truth.numpy(), clusters.numpy()) > 0.9
    assert (clusters[truth < 2] == truth[truth < 2]).float().mean() > 0.9


def test_fewer_images_than_clusters():
    with pytest.raises(ValueError, match="3 images cannot make 4 clusters"):
        semi_kmeans(torch.rand(3, 2), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), num_labeled=0, k=4)


@pytest.mark.parametrize("method", METHODS)
def test_clear_blobs_are_counted(method):
    x, labels = blobs(11)
    known = labels < 6
    found = estimate(x[~known], x[known], labels[known], method, largest=10)
    assert found.number == 5
    assert found.low <= 5 <= found.high
    assert list(found.curve) == [k for k in range(2, 11) if method != "merging" or k in found.curve]
    assert len(found.curve) > 4
    assert found == estimate(x[~known], x[known], labels[known], method, largest=10)


def test_candidates():
    assert candidates_up_to(10) == list(range(2, 11))
    assert len(candidates_up_to(1000)) <= 33
    assert default_largest(5, 1000) == 10
    assert default_largest(80, 10**6) == 160
    assert default_largest(882, 10**6) == 200
    assert default_largest(5, 20) == 4
    assert np.isfinite(candidates_up_to(3)).all()
