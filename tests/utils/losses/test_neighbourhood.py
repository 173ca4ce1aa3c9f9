"""NCL's contrastive terms and its memory: published numbers, loops, closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.utils.losses import published
from utils.losses.neighbourhood import class_targets, contrast, hard_negatives, memory_logits, neighbour_targets
from utils.losses.pairwise import cosine_pairs, pairs_of, rank_statistics
from utils.losses.queue import advance, remember, slots


def unlabelled_term(numbers, query, phase):
    temperature = float(numbers["m_t"])
    rows = ~numbers["mask_lb"]
    memory = numbers["ulb/memory"]
    logits = memory_logits(query, numbers["feat_k"], memory, temperature)
    targets = neighbour_targets(logits, int(numbers["ulb/knn"]), float(numbers["w_pos"]))
    torch.testing.assert_close(targets[rows], numbers[f"{phase}/ulb/targets"], **published.EXACT)
    negatives = None
    if phase == "hard":
        far = 50 if int(numbers["num_unlabeled_classes"]) == 5 else 400
        order = torch.zeros(len(query), int(numbers["hard_iter"]), far, dtype=torch.int64)
        order[rows] = numbers["hard/permutations"][..., :far]
        negatives = hard_negatives(query, memory, numbers["la/memory"], order, int(numbers["num_hard"]), temperature)
    return contrast(logits, targets, rows, negatives)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("phase", ["first", "plain", "plain_rk", "hard"])
def test_published_terms(golden, phase, number):
    numbers = published.load(golden(f"methods/ncl_{number}.npz"))
    inputs = published.leaves(numbers, "feat_q")
    published.require_equal(
        unlabelled_term(numbers, inputs["feat_q"], phase), numbers, "loss_ncl_ulb", inputs, f"{phase}/"
    )
    logits = memory_logits(inputs["feat_q"], numbers["feat_k"], numbers["la/memory"], float(numbers["m_t"]))
    targets = class_targets(logits, numbers["label"], numbers["la/memory_label"])
    value = contrast(logits, targets, numbers["mask_lb"])
    published.require_equal(value, numbers, "loss_ncl_la", inputs, f"{phase}/")

    rows = ~numbers["mask_lb"]
    similar = cosine_pairs(numbers["feat"], float(numbers["costhre"]))
    if phase == "plain_rk":
        similar = rank_statistics(numbers["feat"], int(numbers["topk"]))
    assert torch.equal(similar[pairs_of(rows)], numbers[f"{phase}/target_ulb"] == 1)


@pytest.mark.parametrize("number", [0, 1])
def test_published_memory(golden, number):
    numbers = published.load(golden(f"methods/ncl_{number}.npz"))
    for kind, rows in (("la", numbers["mask_lb"]), ("ulb", ~numbers["mask_lb"])):
        memory, pointer = numbers[f"{kind}/memory"], numbers[f"{kind}/index"]
        where = slots(pointer, rows, len(memory))
        torch.testing.assert_close(remember(memory, numbers["feat_q"], where), numbers[f"{kind}/memory_after"])
        assert torch.equal(
            remember(numbers[f"{kind}/memory_label"], numbers["label"], where), numbers[f"{kind}/memory_label_after"]
        )
        assert advance(pointer, rows, len(memory)) == numbers[f"{kind}/index_after"]


@pytest.mark.parametrize("size", [1, 3, 8, 11])
def test_the_memory_is_a_ring(size):
    """Batches with masks, one after the other, against a list that is written slot by slot."""
    generator = torch.Generator().manual_seed(size)
    memory, pointer = torch.zeros(2, size, 3), torch.tensor(0)
    ring, at = [torch.zeros(2, 3)] * size, 0
    for _ in range(5):
        values, rows = torch.randn(2, 6, 3, generator=generator), torch.rand(6, generator=generator) > 0.4
        memory = remember(memory, values, slots(pointer, rows, size))
        pointer = advance(pointer, rows, size)
        for row in range(6):
            if rows[row]:
                ring[at], at = values[:, row], (at + 1) % size
        assert torch.equal(memory, torch.stack(ring, dim=1))
        assert pointer == at


def test_equal_to_the_loops():
    generator = torch.Generator().manual_seed(0)
    query, key, memory = (F.normalize(torch.randn(n, 4, generator=generator), dim=1) for n in (5, 5, 9))
    rows = torch.tensor([True, False, True, True, False])
    logits = memory_logits(query, key, memory, 0.1)
    targets = neighbour_targets(logits, 3, 0.2)
    total = 0.0
    for i in range(5):
        row = [(query[i] @ key[i]) / 0.1, *((query[i] @ m) / 0.1 for m in memory)]
        nearest = sorted(range(10), key=lambda c, row=row: -row[c])[:3]
        wanted = [0.8 / 3 if c in nearest else 0.0 for c in range(10)]
        wanted[0] = 0.2
        log_sum = torch.stack(row).exp().sum().log()
        if rows[i]:
            total = total - sum(w * (x - log_sum) for w, x in zip(wanted, row, strict=True))
    torch.testing.assert_close(contrast(logits, targets, rows), total / 3)


def test_a_memory_of_equal_rows_leaves_log_of_their_number():
    query = F.normalize(torch.ones(3, 4), dim=1)
    logits = memory_logits(query, query, query[:1].expand(7, -1), 0.05)
    labels = torch.zeros(3, dtype=torch.int64)
    value = contrast(logits, class_targets(logits, labels, torch.zeros(7, dtype=torch.int64)), labels == 0)
    assert value.item() == pytest.approx(math.log(8), rel=1e-5)


def test_no_row_gives_zero():
    query = torch.randn(3, 4, requires_grad=True)
    logits = memory_logits(query, query, torch.randn(7, 4), 0.05)
    value = contrast(logits, neighbour_targets(logits, 2, 0.2), torch.zeros(3, dtype=torch.bool))
    assert value == 0
    value.backward()
    assert not query.grad.any()
