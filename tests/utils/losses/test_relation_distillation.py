"""rKD's distillation: published numbers and gradients, loops, no unlabelled rows."""

import pytest
import torch

from tests.utils.losses import published
from utils.losses import relation_distillation


def full_logits(logits_lab, logits_unlab):
    lab = logits_lab.unsqueeze(1).expand(-1, logits_unlab.shape[1], -1, -1)
    return torch.cat([lab, logits_unlab], dim=-1)


@pytest.mark.parametrize("number", [0, 1])
def test_published_numbers_and_gradients(golden, number):
    numbers = published.load(golden(f"methods/rkd_{number}.npz"))
    large, factor = int(numbers["num_large_crops"]), float(numbers["kd_temperature"])
    inputs = published.leaves(numbers, "logits_lab", "logits_unlab")
    logits = full_logits(inputs["logits_lab"], inputs["logits_unlab"])[:large]
    per_head = factor**2 * relation_distillation(
        logits, numbers["old_logits_lab"][:large], numbers["mask_lab"], float(numbers["temperature"]) * factor
    )
    torch.testing.assert_close(per_head.detach(), numbers["kd_loss_per_head"], **published.EXACT)
    gradients = torch.autograd.grad(per_head.mean(), list(inputs.values()))
    for name, gradient in zip(inputs, gradients, strict=True):
        torch.testing.assert_close(gradient, numbers[f"kd_only/grad/{name}"], **published.EXACT)


def test_equal_to_the_loops():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(2, 3, 6, 5, generator=generator, dtype=torch.float64)
    teacher = torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)
    mask = torch.tensor([True, False, False, True, False, False])
    rows = [(v, b) for v in range(2) for b in range(6) if not mask[b]]
    known = {(v, h, b): torch.softmax(logits[v, h, b] / 0.4, 0)[:2].sum() for v, b in rows for h in range(3)}
    mean = sum(known.values()) / len(known)
    for h, value in enumerate(relation_distillation(logits, teacher, mask, 0.4)):
        errors = [
            -known[v, h, b]
            / mean
            * (torch.softmax(teacher[v, b] / 0.4, 0) * torch.log_softmax(logits[v, h, b, :2] / 0.4, 0)).sum()
            for v, b in rows
        ]
        torch.testing.assert_close(value, sum(errors) / len(errors))


def test_no_unlabelled_row_gives_zero():
    logits = torch.rand(2, 3, 4, 5, requires_grad=True)
    value = relation_distillation(logits, torch.rand(2, 4, 2), torch.ones(4, dtype=torch.bool), 0.4)
    assert not value.any()
    value.sum().backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad.any()
