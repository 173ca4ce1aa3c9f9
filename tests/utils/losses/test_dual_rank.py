"""DualRank's bags of words and mutual distillation, and Joint's contrast: published numbers, loops."""

import pytest
import torch
import torch.nn.functional as F

from tests.utils.losses import published
from utils.losses import joint_contrast, nt_xent, rank_statistics, sup_con
from utils.losses.dual_rank import bag_of_words, mutual_logits, mutual_loss, word_distances
from utils.losses.pairwise import pairs_of


@pytest.mark.parametrize("number", [0, 1])
def test_published_bags_pairs_and_mutual_loss(golden, number):
    numbers = published.load(golden(f"methods/dualrank_{number}.npz"))
    rows, topk = ~numbers["mask_lab"], int(numbers["topk"])
    distances = word_distances(numbers["fmap_p"], numbers["embedding"])
    decay = float(numbers["decay"])
    scale = decay * numbers["min_distance_mean"] + (1 - decay) * distances.min(dim=-1).values.mean()
    torch.testing.assert_close(scale, numbers["after/min_distance_mean"][0], **published.EXACT)
    bags = bag_of_words(distances, scale, float(numbers["inv_delta"]))
    torch.testing.assert_close(bags, numbers["bow"], **published.EXACT)
    for features, name in ((numbers["feats_g"], "pairs_g"), (bags, "pairs_p")):
        assert torch.equal(rank_statistics(features, topk)[pairs_of(rows)], numbers[name] == 1)

    views = numbers["feats_g"], numbers["feats_p"]
    others = numbers["feats_g_bar"], numbers["feats_p_bar"]
    memories = numbers["memory_g"], numbers["memory_p"]
    temperature = float(numbers["mutual_temperature"])
    for view, other, memory, name in zip(views, others, memories, ("g", "p"), strict=True):
        logits = mutual_logits(view, other, memory, temperature)[rows]
        torch.testing.assert_close(logits, numbers[f"mutual_logits_{name}"], **published.EXACT)
    value = mutual_loss(views, others, memories, rows, temperature)
    torch.testing.assert_close(value, numbers["loss_mutual"], **published.EXACT)


def test_distances_and_bags_equal_the_loops():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    words = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    distances, bags = word_distances(maps, words), []
    for image in maps:
        pixels = [image[:, y, x] for y in (1, 2) for x in (1, 2, 3)]
        squares = torch.stack([torch.stack([((p - w) ** 2).sum() for w in words]) for p in pixels])
        torch.testing.assert_close(distances[len(bags)], squares)
        bags.append(torch.stack([torch.softmax(-15 / 2.0 * row, 0) for row in squares]).mean(0))
    torch.testing.assert_close(bag_of_words(distances, torch.tensor(2.0), 15), torch.stack(bags))


def test_equal_branches_have_nothing_to_tell():
    u, v, memory = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3), F.normalize(torch.randn(5, 3), dim=1)
    rows = torch.ones(4, dtype=torch.bool)
    assert mutual_loss((u, u), (v, v), (memory, memory), rows, 0.07) == 0
    value = mutual_loss((u, 2 * v), (v, u), (memory, memory), ~rows, 0.07)
    assert value == 0
    value.backward()
    assert not u.grad.any()


def test_joint_contrast_is_nt_xent_and_supervised_contrast_at_its_ends():
    projections, labels = torch.randn(10, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 2, 1])
    every = torch.ones(5, dtype=torch.bool)
    first, second = projections.chunk(2)
    torch.testing.assert_close(joint_contrast(projections, labels, ~every, 0.3), nt_xent(first, second, 0.3))
    torch.testing.assert_close(
        joint_contrast(projections, labels, every, 0.3), sup_con(projections, labels, every, 0.3)
    )


def test_joint_contrast_equals_the_loops():
    projections, labels = torch.randn(8, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 0])
    mask, total = torch.tensor([True, True, True, False]), 0.0
    for i in range(8):
        cosines = torch.cosine_similarity(projections[i], projections, dim=1) / 0.3
        others = [n for n in range(8) if n != i]
        log_sum = torch.stack([cosines[n] for n in others]).exp().sum().log()
        found = [
            n for n in others if n % 4 == i % 4 or (mask[n % 4] and mask[i % 4] and labels[n % 4] == labels[i % 4])
        ]
        total = total - sum(cosines[n] - log_sum for n in found) / len(found)
    torch.testing.assert_close(joint_contrast(projections, labels, mask, 0.3), total / 8)
