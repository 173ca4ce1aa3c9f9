"""Sinkhorn-Knopp against the alternating divisions, its constraints, and extreme inputs."""

import pytest
import torch

from tests.utils.losses import slow
from utils.losses import SinkhornKnopp


@pytest.mark.parametrize(("rows", "prototypes"), [(16, 4), (5, 12), (1, 3), (2, 1)])
def test_equals_the_obvious_version(rows, prototypes):
    logits = torch.rand(2, 3, rows, prototypes, dtype=torch.float64) * 2 - 1
    result = SinkhornKnopp(num_iters=3, epsilon=0.05)(logits)
    for v in range(2):
        for h in range(3):
            torch.testing.assert_close(result[v, h], slow.sinkhorn(logits[v, h], 0.05, 3))


def test_rows_sum_to_one_and_prototypes_are_filled_equally():
    result = SinkhornKnopp(num_iters=200)(torch.rand(4, 30, 6, dtype=torch.float64))
    torch.testing.assert_close(result.sum(dim=-1), torch.ones(4, 30, dtype=torch.float64))
    torch.testing.assert_close(result.sum(dim=-2), torch.full((4, 6), 5.0, dtype=torch.float64), rtol=1e-3, atol=0)


def test_rows_outside_the_mask_do_not_take_part():
    logits = torch.rand(3, 20, 5, dtype=torch.float64)
    mask = torch.arange(20) % 3 > 0
    result = SinkhornKnopp()(logits, mask)
    torch.testing.assert_close(result[:, mask], SinkhornKnopp()(logits[:, mask]))
    assert (result[:, ~mask] == 0).all()


def test_an_empty_mask_gives_zeros():
    assert (SinkhornKnopp()(torch.rand(2, 6, 4), torch.zeros(6, dtype=torch.bool)) == 0).all()


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_everywhere(scale, dtype):
    logits = ((torch.rand(2, 16, 6) * 2 - 1) * scale).to(dtype)
    mask = torch.arange(16) > 3
    result = SinkhornKnopp()(logits, mask)
    assert result.isfinite().all()
    torch.testing.assert_close(result[:, mask].sum(dim=-1), torch.ones(2, 12))


def test_no_gradient():
    assert not SinkhornKnopp()(torch.rand(4, 3, requires_grad=True)).requires_grad
