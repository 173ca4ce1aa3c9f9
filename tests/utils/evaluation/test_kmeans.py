"""k-means on hand-made clusters; the version for GPUs against scikit-learn's; scores over all images."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from utils.errors import UserError
from utils.evaluation.embedding_protocol import EmbeddingEvaluation
from utils.evaluation.kmeans import kmeans, lloyd
from utils.evaluation.metrics import cluster_acc


def blobs(each=30, k=4):
    """Clusters far apart, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(k).repeat_interleave(each)
    return 20 * torch.eye(k, 6)[labels] + torch.randn(len(labels), 6, generator=generator), labels.numpy()


def test_hand_made_clusters_are_found():
    vectors, labels = blobs()
    assert cluster_acc(labels, kmeans(vectors, 4)) == 1
    assert cluster_acc(labels, lloyd(vectors, 4, starts=10, seed=42)[0].numpy()) == 1


def test_the_version_for_gpus_is_as_good_as_scikit_learn_s():
    pixels = load_digits().data.astype(np.float32)
    expected = min(KMeans(10, n_init=10, random_state=seed).fit(pixels).inertia_ for seed in range(2))
    labels, inertia = lloyd(torch.from_numpy(pixels), 10, starts=10, seed=42)
    assert inertia.item() <= 1.002 * expected
    means = np.stack([pixels[labels.numpy() == k].mean(0) for k in range(10)])
    assert ((pixels - means[labels.numpy()]) ** 2).sum() == pytest.approx(inertia.item(), rel=1e-3)


def test_same_seed_same_clusters_and_by_default_the_published_starts():
    vectors, _ = blobs(each=9)
    first, second = (lloyd(vectors, 5, starts=3, seed=1)[0] for _ in range(2))
    assert torch.equal(first, second)
    noise = torch.randn(60, 3)  # on which starts and seed matter
    clusters = {
        (starts, seed): KMeans(6, n_init=starts, random_state=seed).fit(noise.numpy()).labels_.tolist()
        for starts, seed in ((10, 42), (1, 42), (10, 0))
    }
    published = kmeans(noise, 6).tolist()
    assert [clusters[key] == published for key in clusters] == [True, False, False]


@pytest.mark.parametrize("k", [1, 8])
def test_one_cluster_and_one_for_each_vector(k):
    vectors = torch.arange(8.0)[:, None]
    assert len(lloyd(vectors, k, starts=2, seed=0)[0].unique()) == k


def evaluation(labels, **settings):
    vectors, _ = blobs(each=5)
    result = EmbeddingEvaluation(**settings)
    for rows in torch.arange(len(vectors)).split(8):  # the last batch is short
        result.update(vectors[rows], vectors[rows].bfloat16(), torch.as_tensor(labels)[rows])
    result.gather()
    return result


def test_scores_are_over_all_images():
    truth = np.arange(4).repeat(5)
    perfect = evaluation(truth).cluster()
    assert perfect == {
        f"{name}/{key}": pytest.approx(1) for name in ("backbone", "feature") for key in ("nmi", "ari", "acc")
    }
    wrong = truth.copy()
    wrong[-1] = 0  # the last image of the short batch counts too
    assert evaluation(wrong).cluster()["backbone/acc"] == pytest.approx(19 / 20)


def test_number_of_clusters():
    truth = np.arange(4).repeat(5)
    for settings, expected in (({}, 4), ({"k": 3}, 3), ({"class_num": 7}, 4)):
        result = evaluation(truth, **settings)
        result.cluster()
        assert len(np.unique(result.clusters["backbone"])) == expected


def test_images_without_labels():
    unknown = np.full(20, -1)
    result = evaluation(unknown, class_num=2)
    assert result.cluster() == {}
    assert len(np.unique(result.clusters["feature"])) == 2
    with pytest.raises(UserError, match="give --k"):
        evaluation(unknown).cluster()
    half = np.where(np.arange(20) % 2 == 0, np.arange(4).repeat(5), -1)
    assert evaluation(half).cluster()["backbone/acc"] == 1


def test_errors():
    with pytest.raises(UserError, match="30 clusters of 20 images"):
        evaluation(np.zeros(20, np.int64), k=30).cluster()
    with pytest.raises(UserError, match="not finite"):
        kmeans(torch.full((5, 2), torch.nan), 2)
