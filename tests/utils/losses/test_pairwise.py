"""Pair rules and pair losses: published numbers, loops, closed forms and properties."""

import math

import pytest
import torch

from tests.utils.losses import published
from utils.losses import kcl, mcl, pair_bce, rank_statistics
from utils.losses.pairwise import EPSILON, cosine_pairs, pairs_of, winner_take_all

CASES = ["", "noisy/", "zeros/", "masked/"]


def slow_bce(p, q, similar):
    values = []
    for i in range(len(p)):
        for j in range(len(p)):
            same = (p[j] * q[i]).sum()
            values.append(-torch.log((same if similar[i, j] else 1 - same) + EPSILON))
    return sum(values) / len(values)


def slow_kcl(prob, similarity, margin):
    values = []
    for i in range(len(prob)):
        for j in range(len(prob)):
            target, predicted = prob[i].detach() + EPSILON, prob[j] + EPSILON
            kl = (target * (target.log() - predicted.log())).sum()
            values.append(kl if similarity[i, j] == 1 else torch.relu(margin - kl))
    return sum(values) / len(values)


def slow_rank_statistics(features, topk):
    sets = [set(sorted(range(len(row)), key=lambda c, row=row: -row[c])[:topk]) for row in features.tolist()]
    return torch.tensor([[a == b for a in sets] for b in sets])


def slow_winner_take_all(features, subsets, threshold):
    codes = [[max(subset, key=lambda c, row=row: row[c]) for subset in subsets.tolist()] for row in features.tolist()]
    agree = [[sum(x == y for x, y in zip(a, b, strict=True)) >= threshold for a in codes] for b in codes]
    return torch.tensor(agree)


def draw(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distributions(rows, columns, seed=0):
    return torch.softmax(2 * draw(rows, columns, seed), dim=1).requires_grad_()


def pairs(numbers, case):
    """The similarity as a matrix, and the mask of the pairs that are there."""
    count = len(numbers["logits"])
    mask = pairs_of(numbers["mask"]) if numbers["mask"].dim() == 1 else numbers["mask"]
    mask = mask if case.startswith("masked") else torch.ones(count, count, dtype=torch.bool)
    similarity = torch.zeros(count, count, dtype=torch.int64)
    similarity[mask] = numbers[f"{case}simi"].long()
    return similarity, mask


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_published_kcl_and_mcl(golden, case, number):
    numbers = published.load(golden(f"methods/kcl_{number}.npz"))
    similarity, mask = pairs(numbers, case)
    logits = published.leaves(numbers, "logits")
    prob = torch.softmax(logits["logits"], dim=1)
    for prefix, margin in ((case, numbers["margin"]), (f"{case}margin1/", numbers["margin1/margin"])):
        published.require_equal(kcl(prob, similarity, float(margin), mask), numbers, "loss", logits, prefix)
    numbers = published.load(golden(f"methods/mcl_{number}.npz"))
    similarity, mask = pairs(numbers, case)
    logits = published.leaves(numbers, "logits")
    value = mcl(torch.softmax(logits["logits"], dim=1), similarity, mask)
    published.require_equal(value, numbers, "loss", logits, case)


@pytest.mark.parametrize("number", [0, 1])
def test_published_rank_statistics_and_pair_bce(golden, number):
    numbers = published.load(golden(f"methods/autonovel_{number}.npz"))
    unlabelled = ~numbers["mask_lb"]
    similar = rank_statistics(numbers["feat"], int(numbers["topk"]))
    expected = numbers["target_ulb"].view(int(unlabelled.sum()), -1) == 1
    assert torch.equal(similar[unlabelled][:, unlabelled], expected)
    inputs = published.leaves(numbers, "output2", "output2_bar")
    p, q = (torch.softmax(value, dim=1) for value in inputs.values())
    published.require_equal(pair_bce(p, q, similar, pairs_of(unlabelled)), numbers, "loss_bce", inputs)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (5, 3), (9, 2)])
def test_equal_to_the_loops(rows, columns):
    p, q = distributions(rows, columns), distributions(rows, columns, 1)
    similar = draw(rows, rows, 2) > 0
    torch.testing.assert_close(pair_bce(p, q, similar), slow_bce(p, q, similar))
    similarity = 2 * similar.long() - 1
    torch.testing.assert_close(mcl(p, similarity), slow_bce(p, p, similar))
    torch.testing.assert_close(kcl(p, similarity, 2.0), slow_kcl(p, similarity, 2.0))


@pytest.mark.parametrize("topk", [1, 3, 6])
def test_rules_equal_the_loops(topk):
    features = draw(40, 6, topk).abs()
    assert torch.equal(rank_statistics(features, topk), slow_rank_statistics(features, topk))
    subsets = torch.stack([torch.randperm(6)[:3] for _ in range(7)])
    for threshold in (0, 3, 7):
        expected = slow_winner_take_all(features, subsets, threshold)
        assert torch.equal(winner_take_all(features, subsets, threshold), expected)
    expected = torch.nn.functional.cosine_similarity(features[:, None], features, dim=-1) > 0.8
    assert torch.equal(cosine_pairs(features, 0.8), expected)


def test_rules_have_the_properties_of_an_equality():
    features = draw(30, 8)
    for similar in (rank_statistics(features, 2), winner_take_all(features, torch.arange(8)[None], 1)):
        assert similar.diagonal().all()
        assert torch.equal(similar, similar.T)
    assert torch.equal(winner_take_all(features, torch.arange(8)[None], 1), rank_statistics(features, 1))
    assert torch.equal(rank_statistics(features.exp(), 3), rank_statistics(features, 3))
    assert rank_statistics(features, 8).all()
    assert cosine_pairs(7 * features, 0.5).equal(cosine_pairs(features, 0.5))


def test_certain_predictions_cost_nothing_when_right_and_log_of_epsilon_when_wrong():
    p = torch.eye(3, dtype=torch.float64)
    assert pair_bce(p, p, torch.eye(3) > 0).item() == pytest.approx(0, abs=1e-6)
    assert pair_bce(p, p, torch.eye(3) < 1).item() == pytest.approx(-math.log(EPSILON), rel=1e-6)
    assert kcl(p, torch.ones(3, 3), 2.0).item() == pytest.approx(2 / 3 * -math.log(EPSILON), rel=1e-4)


@pytest.mark.parametrize("loss", [pair_bce, mcl, kcl])
def test_no_pairs_give_zero_and_no_gradient(loss):
    p = distributions(4, 3)
    nothing, ones = torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4)
    arguments = {pair_bce: (p, p, ones > 0), mcl: (p, ones), kcl: (p, ones, 2.0)}[loss]
    value = loss(*arguments, mask=nothing)
    assert value == 0
    value.backward()
    assert not p.grad.any()


def test_the_mask_is_a_batch_without_the_other_rows():
    p, q, rows = distributions(8, 3), distributions(8, 3, 1), torch.arange(8) % 3 > 0
    similar = draw(8, 8) > 0
    value = pair_bce(p, q, similar, pairs_of(rows))
    torch.testing.assert_close(value, pair_bce(p[rows], q[rows], similar[rows][:, rows]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    p, similar = distributions(8, 3).to(dtype), draw(8, 8) > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = pair_bce(p, p, similar), kcl(p, 2 * similar.long() - 1, 2.0)
    exact = pair_bce(p.double(), p.double(), similar), kcl(p.double(), 2 * similar.long() - 1, 2.0)
    for value, wanted in zip(values, exact, strict=True):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(wanted.item(), rel=1e-4)
