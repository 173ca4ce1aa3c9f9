"""Instance and feature loss against published numbers, slow loops and closed forms."""

import math

import pytest
import torch

from tests import published_objectives
from tests.utils.losses import published, slow
from utils.losses import feature_loss, instance_loss, normalized_entropy, nt_xent


@pytest.mark.parametrize("number", [0, 1])
def test_published_numbers_and_gradients(golden, number):
    numbers = published.load(golden(f"disentangle_{number}.npz"))
    for name, value, expected in published_objectives.disentangling(numbers):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


def draw(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, rows, columns, generator=generator, dtype=torch.float64).unbind()


@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (2, 5), (7, 4), (6, 1)])
def test_equal_to_the_loops_for_any_batch_size(rows, columns):
    first, second = draw(rows, columns)
    torch.testing.assert_close(
        instance_loss(first - 0.5, second - 0.5, 0.5), slow.nt_xent(first - 0.5, second - 0.5, 0.5)
    )
    entropy = (slow.binary_entropy(first) + slow.binary_entropy(second)) / 2
    torch.testing.assert_close(feature_loss(first, second, 1.0), slow.nt_xent(first.T, second.T, 1.0) - entropy)


@pytest.mark.parametrize("rows", [2, 8, 128])
def test_equal_embeddings_give_log_2n_minus_1(rows):
    same = torch.ones(rows, 6)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(2 * rows - 1), rel=1e-6)


def test_a_pair_alone_has_nothing_to_be_told_from():
    first, second = draw(1, 4)
    assert nt_xent(first, second, 0.5).item() == 0


def test_properties():
    first, second = draw(9, 5)
    order = torch.randperm(9)
    loss = instance_loss(first, second, 0.5)
    torch.testing.assert_close(instance_loss(first[order], second[order], 0.5), loss)
    torch.testing.assert_close(instance_loss(second, first, 0.5), loss)
    torch.testing.assert_close(instance_loss(3 * first, 0.1 * second, 0.5), loss)
    assert instance_loss(first, first, 0.5) < loss


@pytest.mark.parametrize(("value", "entropy"), [(0.5, 1.0), (0.0, 0.0), (1.0, 0.0)])
def test_entropy_in_closed_form(value, entropy):
    assert normalized_entropy(torch.full((4, 3), value)).item() == entropy


def test_saturated_features_keep_finite_gradients():
    logits = torch.tensor([[-200.0, 0.0, 200.0]] * 4, requires_grad=True)
    features = torch.sigmoid(logits)
    feature_loss(features, features, 1.0).backward()
    assert torch.isfinite(logits.grad).all()


def test_bfloat16_stays_finite_and_is_computed_in_float32():
    z1, z2 = ((10 * z - 5).bfloat16().requires_grad_() for z in draw(32, 16))
    f1, f2 = (torch.sigmoid(40 * f - 20).bfloat16().requires_grad_() for f in draw(32, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = instance_loss(z1, z2, 0.5) + feature_loss(f1, f2, 1.0)
    assert loss.dtype == torch.float32
    loss.backward()
    for value in (z1, z2, f1, f2):
        assert torch.isfinite(value.grad).all()
    exact = instance_loss(z1.detach().double(), z2.detach().double(), 0.5)
    assert instance_loss(z1, z2, 0.5).item() == pytest.approx(exact.item(), rel=1e-5)
