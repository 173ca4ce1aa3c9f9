"""The losses against slow loops, closed forms and properties."""

import math

import pytest
import torch

from tests.utils.losses import slow
from utils.losses import inter_class_skld, intra_class_skld, mse_consistency, swapped_prediction

T = 0.1
SIZES = [(4, 3, 12, 5, 4), (2, 1, 7, 3, 2), (3, 2, 2, 1, 1)]  # V, H, B, L, U


def draw(num_views, num_heads, batch_size, num_labeled, num_unlabeled, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_views, num_heads, batch_size, num_labeled + num_unlabeled)
    logits = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    mask_lab = torch.arange(batch_size) % 2 == 0
    return logits, mask_lab[torch.randperm(batch_size, generator=generator)]


@pytest.mark.parametrize("size", SIZES)
def test_constraints_equal_the_loops(size):
    logits, mask = draw(*size)
    num_labeled = size[3]
    torch.testing.assert_close(inter_class_skld(logits, mask, T), slow.inter_class_skld(logits, mask, T))
    for name in ("intra_class_skld", "mse_consistency"):
        fast, loops = globals()[name], getattr(slow, name)
        torch.testing.assert_close(fast(logits, mask, num_labeled, T), loops(logits, mask, num_labeled, T))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_large_crops", [1, 2])
def test_swapped_prediction_equals_the_loops(size, num_large_crops):
    logits, _ = draw(*size)
    targets = torch.softmax(torch.randn_like(logits[:num_large_crops]), dim=-1)
    expected = slow.swapped_prediction(logits, targets, num_large_crops, T)
    torch.testing.assert_close(swapped_prediction(logits, targets, num_large_crops, T), expected)


def test_swapped_prediction_of_uniform_predictions_is_log_k():
    logits = torch.zeros(4, 2, 6, 8)
    targets = torch.softmax(torch.randn(2, 2, 6, 8), dim=-1)
    torch.testing.assert_close(swapped_prediction(logits, targets, 2, T), torch.full((2,), math.log(8)))


def test_swapped_prediction_ignores_a_view_s_own_target():
    logits, _ = draw(2, 1, 5, 3, 2)
    targets = torch.softmax(torch.randn_like(logits), dim=-1)
    first = swapped_prediction(logits[:, :, :], targets, 2, T)
    own = torch.stack([-(targets[v] * torch.log_softmax(logits[v] / T, -1)).sum(-1).mean() for v in (0, 1)]).mean()
    assert not torch.isclose(first[0], own)
    swapped = torch.stack([-(targets[v] * torch.log_softmax(logits[1 - v] / T, -1)).sum(-1).mean() for v in (0, 1)])
    torch.testing.assert_close(first[0], swapped.mean())


def test_between_views_is_zero_for_equal_views():
    logits, mask = draw(1, 3, 9, 4, 3)
    same = logits.expand(4, -1, -1, -1)
    assert intra_class_skld(same, mask, 4, T) == 0
    assert mse_consistency(same, mask, 4, T) == 0


def test_signs():
    for seed in range(20):
        logits, mask = draw(3, 2, 8, 4, 3, seed=seed)
        assert inter_class_skld(logits, mask, T) < 0
        assert intra_class_skld(logits, mask, 4, T) > 0
        assert mse_consistency(logits, mask, 4, T) > 0


def test_inter_is_zero_when_all_predictions_are_equal():
    logits = torch.rand(2, 2, 1, 7, dtype=torch.float64).expand(2, 2, 6, 7)
    value = inter_class_skld(logits, torch.arange(6) < 3, T)
    torch.testing.assert_close(value, torch.zeros_like(value), atol=1e-12, rtol=0)


def test_two_samples_by_hand():
    """One head, one view, p = (2/3, 1/3) and q = (1/3, 2/3): the symmetric divergence is log(2) / 3."""
    logits = T * torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64).log()[None, None]
    value = inter_class_skld(logits, torch.tensor([True, False]), T)
    assert value.item() == pytest.approx(-math.log(2) / 3)


def test_the_order_of_the_batch_does_not_matter():
    logits, mask = draw(4, 3, 12, 5, 4)
    order = torch.randperm(12)
    args = (logits[:, :, order], mask[order])
    torch.testing.assert_close(inter_class_skld(*args, T), inter_class_skld(logits, mask, T))
    torch.testing.assert_close(intra_class_skld(*args, 5, T), intra_class_skld(logits, mask, 5, T))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_batch_of_one_kind_gives_numbers(labelled, batch_size):
    logits, _ = draw(3, 2, batch_size, 4, 3)
    logits.requires_grad_()
    mask = torch.full((batch_size,), labelled)
    inter = inter_class_skld(logits, mask, T)
    assert inter == 0
    expected = slow.intra_class_skld(logits, mask, 4, T)
    intra = intra_class_skld(logits, mask, 4, T)
    torch.testing.assert_close(intra, expected)
    (inter + intra + mse_consistency(logits, mask, 4, T)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, mask = draw(4, 2, 8, 3, 3)
    targets = torch.softmax(torch.randn(2, 2, 8, 6), dim=-1)
    losses = {
        "swapped": lambda x: swapped_prediction(x, targets, 2, T).sum(),
        "inter": lambda x: inter_class_skld(x, mask, T),
        "intra": lambda x: intra_class_skld(x, mask, 3, T),
        "mse": lambda x: mse_consistency(x, mask, 3, T),
    }
    for name, loss in losses.items():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(logits.to(dtype))
        assert value.dtype == torch.float32, name
        torch.testing.assert_close(value.double(), loss(logits.to(dtype).double()), rtol=1e-4, atol=0, msg=name)


def test_gradients():
    logits, mask = draw(2, 2, 4, 2, 2)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: inter_class_skld(x, mask, T), logits)
    assert torch.autograd.gradcheck(lambda x: intra_class_skld(x, mask, 2, T), logits)
    assert torch.autograd.gradcheck(lambda x: mse_consistency(x, mask, 2, T), logits)
