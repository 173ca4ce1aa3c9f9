"""Clustering metrics: golden numbers, scikit-learn, answers known by eye; on two processes: test_distributed.py."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from utils.evaluation.metrics import (
    ClusterMetrics,
    best_mapping,
    cluster_acc,
    contingency,
    known_and_novel_acc,
    table_metrics,
)


def brute_force_acc(y_true, y_pred):
    """The best of all one-to-one matchings, tried one after another."""
    size = max(y_true.max(), y_pred.max()) + 1
    return max(
        np.mean([mapping[p] == t for t, p in zip(y_true, y_pred, strict=True)])
        for mapping in itertools.permutations(range(size))
    )


@pytest.mark.parametrize("file", [0, 1, 2])
def test_published_numbers(golden, file):
    numbers = np.load(golden(f"cluster_{file}.npz"), allow_pickle=False)
    metrics = table_metrics(contingency(numbers["y_true"], numbers["y_pred"]))
    for name in ("acc", "nmi", "ari"):
        assert metrics[name] == pytest.approx(float(numbers[name]), abs=1e-10)
    assert cluster_acc(numbers["y_true"], numbers["y_pred"]) == metrics["acc"]


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("file", [0, 1])
def test_published_shares_of_known_and_novel_classes(golden, file, case):
    numbers = np.load(golden(f"gcd/gcd_{file}.npz"), allow_pickle=False)
    y_true, y_pred, old, v2 = (numbers[f"eval{case}/{name}"] for name in ("y_true", "y_pred", "old", "v2"))
    shares = known_and_novel_acc(contingency(y_true, y_pred), num_labeled=int(y_true[old].max()) + 1)
    assert [shares[name] for name in ("all", "old", "new")] == pytest.approx(v2.tolist(), abs=1e-12)


def test_equally_good_matchings_share_all_and_need_not_share_old_and_new():
    table = np.array([[2, 0], [2, 0]])  # cluster 0 may stand for the known class or for the novel one
    shares = known_and_novel_acc(table, num_labeled=1)
    assert shares["all"] == 0.5
    assert (shares["old"], shares["new"]) in [(1.0, 0.0), (0.0, 1.0)]
    assert known_and_novel_acc(table, num_labeled=2) == {"all": 0.5, "old": 0.5}
    assert known_and_novel_acc(np.zeros((0, 0), np.int64), num_labeled=1) == {}


@pytest.mark.parametrize("clusters", [3, 5, 7])
@pytest.mark.parametrize("seed", range(5))
def test_random_clusters_against_scikit_learn_and_brute_force(clusters, seed):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 5, 200)
    y_pred = np.where(rng.random(200) < 0.6, y_true % clusters, rng.integers(0, clusters, 200))
    metrics = table_metrics(contingency(y_true, y_pred))
    assert metrics["acc"] == pytest.approx(brute_force_acc(y_true, y_pred))
    assert metrics["nmi"] == pytest.approx(normalized_mutual_info_score(y_true, y_pred), abs=1e-12)
    assert metrics["ari"] == pytest.approx(adjusted_rand_score(y_true, y_pred), abs=1e-12)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "acc", "nmi", "ari"),
    [
        ([0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 1, 1], 1.0, 1.0, 1.0),  # permuted names
        ([0, 0, 1, 1], [0, 0, 0, 0], 0.5, 0.0, 0.0),  # one cluster for two classes
        ([0, 0, 0, 0], [0, 1, 2, 3], 0.25, 0.0, 0.0),  # four clusters for one class
        ([0, 0, 0, 0], [7, 7, 7, 7], 1.0, 1.0, 1.0),  # one of each
        ([0, 0, 1, 1], [0, 0, 1, 2], 0.75, 0.8, 4 / 7),  # more clusters than classes
        ([3], [1], 1.0, 1.0, 1.0),  # one sample
    ],
)
def test_answers_known_by_eye(y_true, y_pred, acc, nmi, ari):
    metrics = table_metrics(contingency(y_true, y_pred))
    assert (metrics["acc"], metrics["nmi"], metrics["ari"]) == pytest.approx((acc, nmi, ari))


def test_large_tables_do_not_overflow():
    table = np.array([[3_000_000_000, 1], [1, 3_000_000_000]])
    metrics = table_metrics(table)
    assert metrics["acc"] == pytest.approx(1.0)
    assert metrics["ari"] == pytest.approx(1.0, abs=1e-6)


def test_best_mapping_leaves_surplus_clusters_out():
    assert best_mapping([0, 0, 0, 1, 1], [5, 5, 2, 1, 1]) == {5: 0, 1: 1}


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one length"):
        cluster_acc([0, 1], [0])


def test_cluster_metrics_batch_by_batch():
    rng = np.random.default_rng(0)
    targets, preds = rng.integers(0, 4, 100), rng.integers(0, 6, (3, 100))
    metrics = ClusterMetrics(num_heads=3)
    for part in np.array_split(np.arange(100), 7):
        metrics.update(torch.from_numpy(preds[:, part]), torch.from_numpy(targets[part]))
    result = metrics.compute()
    for head in range(3):
        assert result["acc"][head] == cluster_acc(targets, preds[head])
        assert result["nmi"][head] == pytest.approx(normalized_mutual_info_score(targets, preds[head]))
    metrics.reset()
    assert metrics.compute() == {}


def test_samples_without_truth_are_left_out():
    metrics = ClusterMetrics(num_heads=1)
    metrics.update(torch.tensor([[0, 1, 1, 0]]), torch.tensor([-1, 3, 3, -1]))
    assert metrics.compute()["acc"] == [1.0]
    empty = ClusterMetrics(num_heads=1)
    empty.update(torch.tensor([[0, 1]]), torch.tensor([-1, -1]))
    assert empty.compute() == {}


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        ClusterMetrics(num_heads=2).update(torch.zeros(3, 3), torch.zeros(3))
