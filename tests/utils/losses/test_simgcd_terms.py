"""Supervised contrastive loss, self-distillation and mean entropy: published numbers, loops, closed forms."""

import math

import pytest
import torch

from tests.utils.losses import published
from utils.losses import mean_entropy, nt_xent, self_distillation, sup_con


def slow_sup_con(projections, labels, mask_lab, temperature):
    count = len(labels)
    rows = [i for i in range(2 * count) if mask_lab[i % count]]
    losses = []
    for i in rows:
        similar = {
            j: torch.cosine_similarity(projections[i], projections[j], dim=0) / temperature for j in rows if j != i
        }
        total = torch.log(sum(s.exp() for s in similar.values()))
        found = [similar[j] - total for j in similar if labels[j % count] == labels[i % count]]
        losses.append(-sum(found) / len(found))
    return sum(losses) / len(losses)


def slow_self_distillation(logits, student, teacher):
    first, second = logits.chunk(2)
    losses = []
    for one, other in ((first, second), (second, first)):
        for row, target in zip(one, other.detach(), strict=True):
            p, t = torch.softmax(row / student, 0), torch.softmax(target / teacher, 0)
            losses.append(-sum(t[c] * p[c].log() for c in range(len(p))))
    return sum(losses) / len(losses)


def draw(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("number", [0, 1])
def test_published_numbers_and_gradients(golden, number):
    numbers = published.load(golden(f"gcd/simgcd_{number}.npz"))
    inputs = published.leaves(numbers, "proj", "logits")
    student, teacher = float(numbers["student_temp"]), float(numbers["teacher_temps"][int(numbers["epoch"])])
    contrastive = sup_con(inputs["proj"], numbers["labels"], numbers["mask_lab"], float(numbers["tau_supcon"]))
    published.require_equal(contrastive, numbers, "sup_con_loss", inputs)
    distilled = self_distillation(inputs["logits"], student, teacher)
    published.require_equal(distilled, numbers, "distill_loss", inputs)
    penalty = math.log(int(numbers["num_classes"])) - mean_entropy(inputs["logits"], student)
    published.require_equal(penalty, numbers, "me_max_loss", inputs)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_loops(seed):
    projections, logits = draw(14, 5, seed), draw(14, 4, seed + 10)
    labels, mask = torch.tensor([0, 1, 1, 2, 3, 0, 1]), torch.tensor([True, True, True, True, False, False, True])
    expected = slow_sup_con(projections, labels, mask, 0.2)
    torch.testing.assert_close(sup_con(projections, labels, mask, 0.2), expected)
    torch.testing.assert_close(self_distillation(logits, 0.5, 0.3), slow_self_distillation(logits, 0.5, 0.3))
    mean = torch.softmax(logits / 0.5, 1).mean(0)
    torch.testing.assert_close(mean_entropy(logits, 0.5), -(mean * mean.log()).sum())


def test_classes_of_one_sample_each_are_nt_xent():
    projections = draw(12, 5)
    value = sup_con(projections, torch.arange(6), torch.ones(6, dtype=torch.bool), 0.5)
    torch.testing.assert_close(value, nt_xent(*projections.chunk(2), 0.5))


def test_what_is_not_labelled_has_no_influence():
    projections, labels = draw(8, 5), torch.tensor([0, 0, 1, 7])
    mask = torch.tensor([True, True, True, False])
    value = sup_con(projections, labels, mask, 0.5)
    other = projections.detach().clone()
    other[3], other[7] = 5.0, -3.0
    torch.testing.assert_close(sup_con(other, torch.tensor([0, 0, 1, -1]), mask, 0.5), value)
    (gradient,) = torch.autograd.grad(value, projections)
    assert not gradient[[3, 7]].any()
    assert gradient[[0, 1, 2]].any(dim=1).all()


def test_no_labelled_row_gives_zero_and_finite_gradients():
    projections = draw(8, 5)
    value = sup_con(projections, torch.full((4,), -1), torch.zeros(4, dtype=torch.bool), 0.07)
    assert value == 0
    value.backward()
    assert not projections.grad.any()


def test_targets_carry_no_gradient():
    logits = draw(6, 4)
    (gradient,) = torch.autograd.grad(self_distillation(logits, 0.5, 0.5), logits)
    torch.testing.assert_close(
        gradient, (torch.softmax(logits / 0.5, 1) - torch.softmax(logits.roll(3, 0) / 0.5, 1)) / 0.5 / 6
    )


def test_mean_entropy_from_one_class_to_all():
    assert mean_entropy(torch.tensor([[9.0, 0.0, 0.0]] * 4), 0.01).item() == pytest.approx(0, abs=1e-6)
    assert mean_entropy(torch.eye(5) * 100, 0.1).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    projections, logits = draw(16, 8).to(dtype), draw(16, 5).to(dtype)
    labels, mask = torch.arange(8) % 3, torch.arange(8) < 5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = [sup_con(projections, labels, mask, 0.07), self_distillation(logits, 0.1, 0.04)]
        values.append(mean_entropy(logits, 0.1))
    exact = [sup_con(projections.double(), labels, mask, 0.07), self_distillation(logits.double(), 0.1, 0.04)]
    exact.append(mean_entropy(logits.double(), 0.1))
    for value, wanted in zip(values, exact, strict=True):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
