"""k-means and semi-supervised k-means against slow versions and scikit-learn; the number of classes of clear blobs."""

import numpy as np
import pytest
import torch

from utils.evaluation.class_number import candidates_up_to, default_largest, estimate
from utils.evaluation.metrics import cluster_acc
from utils.evaluation.semi_kmeans import _plus_plus, class_means, kmeans_centroids, semi_kmeans, semi_lloyd


def blobs(classes, size=30, spread=0.15, seed=0):
    """Points around orthogonal unit vectors, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(size)
    return torch.eye(16)[labels] + spread * torch.randn(len(labels), 16, generator=generator), labels


def inertia(x, centroids):
    return float(torch.cdist(x, centroids).square().amin(dim=1).sum())


def published_kmeans(golden, file):
    """Settings and results of the published code, and its inputs as ours: x, labeled, labels in 0..L-1."""
    numbers = np.load(golden(f"gcd/gcd_{file}.npz"), allow_pickle=False)
    found = {name.removeprefix("kmeans/"): numbers[name] for name in numbers.files if name.startswith("kmeans/")}
    labels = torch.from_numpy(np.unique(found["l_targets"], return_inverse=True)[1])  # cluster i: i-th sorted target
    return found, (torch.from_numpy(found["u_feats"]), torch.from_numpy(found["l_feats"]), labels)


@pytest.mark.parametrize("file", [0, 1])
def test_published_runs_from_their_starts(golden, file):
    published, data = published_kmeans(golden, file)
    num_known = len(published["l_feats"])
    limits = float(published["tolerance"]), int(published["max_iterations"])
    runs = list(zip(*semi_lloyd(*data, torch.from_numpy(published["start_centers"]), *limits), strict=True))
    for (centroids, clusters, inertia), labels, centers, expected in zip(
        runs,
        published["labels_of_starts"],
        published["centers_of_starts"],
        published["inertia_of_starts"],
        strict=True,
    ):
        np.testing.assert_array_equal(clusters, labels[num_known:])
        np.testing.assert_array_equal(data[2], labels[:num_known])
        np.testing.assert_allclose(centroids, centers, atol=1e-10)
        assert float(inertia) == pytest.approx(expected, abs=1e-9)
    best = min(runs, key=lambda run: run[2])
    np.testing.assert_array_equal(best[1], published["labels"][num_known:])
    np.testing.assert_allclose(best[0], published["centers"], atol=1e-10)
    assert float(best[2]) == pytest.approx(float(published["inertia"]), abs=1e-9)


def test_the_best_start_is_that_of_labelled_and_unlabelled_images_together(golden):
    _, (x, labeled, labels) = published_kmeans(golden, 0)
    known, seed, restarts = int(labels.max()) + 1, 4, 20
    starts = _plus_plus(x, class_means(labeled, labels, known), 3, restarts, seed)
    every, _, inertia = semi_lloyd(x, labeled, labels, starts)
    alone = torch.cdist(x, every).square().amin(dim=2).sum(dim=1)
    together = alone + torch.stack([(labeled - run[labels]).square().sum() for run in every])
    assert together.argmin() != alone.argmin()  # else nothing would be shown
    assert inertia.argmin() == together.argmin()
    centroids, _ = semi_kmeans(x, labeled, labels, known, k=3, seed=seed, restarts=restarts)
    torch.testing.assert_close(centroids, every[together.argmin()])


def test_restarts_in_several_parts_are_the_same(golden, monkeypatch):
    _, (x, labeled, labels) = published_kmeans(golden, 1)
    whole = semi_kmeans(x, labeled, labels, 6, 6, restarts=7)
    monkeypatch.setattr("utils.evaluation.semi_kmeans.NUMBERS_AT_ONCE", 2 * len(x) * 12)
    parts = semi_kmeans(x, labeled, labels, 6, 6, restarts=7)
    torch.testing.assert_close(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])


def test_an_empty_cluster_stays_where_it_is():
    x, _ = blobs(2)
    start = torch.stack([x[0], x[-1], torch.full((16,), 9.0)])
    centroids, clusters, _ = semi_lloyd(x, torch.zeros(0, 16), torch.zeros(0, dtype=torch.long), start[None])
    assert torch.equal(centroids[0, 2], start[2])
    assert set(clusters[0].tolist()) == {0, 1}


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


@pytest.mark.parametrize("method", ["merging", "guided", "silhouette"])
def test_clear_blobs_are_counted(method):
    x, labels = blobs(11)
    known = labels < 6
    found = estimate(x[~known], x[known], labels[known], method, largest=10)
    assert found.number == 5
    assert 5 in found.near
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
