"""The number of novel classes in a heap of known and novel ones: the filter, the published search."""

import numpy as np
import pytest
import torch

from utils.evaluation.class_number import estimate
from utils.evaluation.generalized_number import brent, novelty


def heap(novel=5, size=60, spread=0.25):
    """Labelled and unlabelled points of 5 known classes, and of novel ones: x, labeled, labels, whether novel."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(5 + novel).repeat_interleave(size)
    points = torch.eye(16)[truth] + spread * torch.randn(len(truth), 16, generator=generator)
    labeled = (truth < 5) & (torch.arange(len(truth)) % 2 == 0)
    return points[~labeled], points[labeled], truth[labeled], (truth >= 5)[~labeled]


def test_the_filter_keeps_what_is_unlike_the_known_classes():
    x, labeled, _, novel = heap()
    kept = novelty(x.numpy(), labeled.numpy(), seed=0)
    assert kept[~novel].mean() < 0.2
    assert kept[novel].mean() > 0.7


@pytest.mark.parametrize("method", ["novelty", "inertia"])
@pytest.mark.parametrize("novel", [3, 5, 8])
def test_clear_blobs_are_counted(method, novel):
    x, labeled, labels, _ = heap(novel)
    found = estimate(x, labeled, labels, method, largest=11)
    assert found.number == novel
    assert found == estimate(x, labeled, labels, method, largest=11)


@pytest.mark.parametrize("file", [0, 1])
def test_brent_searches_as_published(golden, file):
    numbers = np.load(golden(f"gcd/gcd_{file}.npz"), allow_pickle=False)
    low, high = numbers["estimate/bounds"].tolist()
    accuracies = dict(zip(numbers["estimate/k_candidates"].tolist(), numbers["estimate/labelled_acc"], strict=True))
    asked = []
    curve = brent(lambda count: asked.append(count) or accuracies[count], low, high - low)
    assert asked == numbers["estimate/visited"].astype(int).tolist()
    assert max(curve, key=lambda k: (curve[k], k)) == int(numbers["estimate/result"]) - low


def test_brent_on_clear_blobs_is_a_number_that_it_visited():
    x, labeled, labels, _ = heap()
    found = estimate(x, labeled, labels, "brent", largest=11)
    assert 1 <= found.number <= 11
    assert found.number in found.curve
