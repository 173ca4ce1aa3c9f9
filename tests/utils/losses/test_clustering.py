"""DTC's assignments, targets and losses: published numbers, loops, closed forms."""

import pytest
import torch

from tests.utils.losses import published
from utils.losses import student_t
from utils.losses.clustering import sharpening, target_distribution, temporal_ensemble
from utils.losses.semi_supervised import consistency


def slow_student_t(features, centers):
    rows = [[1 / (1 + sum((f - c) ** 2)) for c in centers] for f in features]
    return torch.stack([torch.stack(row) / sum(row) for row in rows])


def slow_targets(probs):
    masses = [sum(column) for column in probs.T]
    rows = [[q**2 / mass for q, mass in zip(row, masses, strict=True)] for row in probs]
    return torch.tensor([[value / sum(row) for value in row] for row in rows], dtype=probs.dtype)


def published_numbers(golden, number):
    numbers = published.load(golden(f"methods/dtc_{number}.npz"))
    return numbers | {"feat": numbers["step/feat"], "feat_bar": numbers["step/feat_bar"]}


@pytest.mark.parametrize("number", [0, 1])
def test_published_step(golden, number):
    numbers = published_numbers(golden, number)
    inputs = published.leaves(numbers, "feat", "feat_bar", "center")
    prob = student_t(inputs["feat"], inputs["center"])
    torch.testing.assert_close(prob.detach(), numbers["step/prob"], **published.EXACT)
    targets = numbers["p_targets"][numbers["step/idx"]]
    sharp = sharpening(prob, targets)
    published.require_equal(sharp, numbers, "loss", inputs, "baseline/")
    agreement = consistency(prob, student_t(inputs["feat_bar"], inputs["center"]))
    published.require_equal(agreement, numbers, "consistency_loss", inputs, "pi/")
    published.require_equal(sharp + float(numbers["step/w"]) * agreement, numbers, "loss", inputs, "pi/")


@pytest.mark.parametrize("number", [0, 1])
def test_published_targets_and_ensembles(golden, number):
    numbers = published_numbers(golden, number)
    torch.testing.assert_close(
        student_t(numbers["init/pca"], numbers["init/centers"]), numbers["init/probs"], **published.EXACT
    )
    torch.testing.assert_close(
        student_t(numbers["init/pca"], numbers["init/centers"], 2.0), numbers["alpha2/probs"], **published.EXACT
    )
    torch.testing.assert_close(target_distribution(numbers["init/probs"]), numbers["init/targets"], **published.EXACT)
    total = torch.zeros_like(numbers["tep/probs"][0])
    for epoch, probs in enumerate(numbers["tep/probs"]):
        total, ensemble = temporal_ensemble(total, probs, epoch, float(numbers["alpha"]))
        torch.testing.assert_close(ensemble, numbers["tep/z_bars"][epoch], **published.EXACT)
        torch.testing.assert_close(target_distribution(ensemble), numbers["tep/targets"][epoch], **published.EXACT)


def test_equal_to_the_loops():
    features, centers = torch.randn(7, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    probs = student_t(features, centers)
    torch.testing.assert_close(probs, slow_student_t(features, centers))
    targets = target_distribution(probs)
    torch.testing.assert_close(targets, slow_targets(probs))
    kl = (targets * (targets.log() - probs.log())).sum(dim=1)
    torch.testing.assert_close(sharpening(probs, targets), kl.mean() / 4)
    rows = torch.arange(7) % 2 == 0
    torch.testing.assert_close(sharpening(probs, targets, rows), kl[rows].mean() / 4)


def test_properties():
    probs = student_t(torch.randn(50, 3), torch.randn(3, 3))
    targets = target_distribution(probs)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(50))
    assert (targets.max(dim=1).values >= probs.max(dim=1).values - 0.2).float().mean() > 0.9
    assert sharpening(probs, probs).item() == pytest.approx(0, abs=1e-7)
    certain = torch.eye(3)
    torch.testing.assert_close(target_distribution(certain), certain)


def test_no_row_and_zero_targets_give_numbers():
    features = torch.randn(4, 3, requires_grad=True)
    probs = student_t(features, torch.randn(3, 3))
    value = sharpening(probs, torch.zeros(4, 3), torch.zeros(4, dtype=torch.bool))
    assert value == 0
    value.backward()
    assert not features.grad.any()
