"""Grouped linear layers: equal to the layers one by one, gradients and data types included."""

import pytest
import torch
from torch import nn

from utils.nets.group_linear import group_linear

H, N, D, OUT = 3, 5, 4, 7


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return [nn.Linear(D, OUT) for _ in range(H)]


def gradients(out, layers, x):
    weights = torch.arange(out.numel(), dtype=torch.float32).view(out.shape).sin().to(out.dtype)
    return torch.autograd.grad((out * weights).sum(), [x, *(p for layer in layers for p in layer.parameters())])


@pytest.mark.parametrize("expanded", [False, True])
def test_equals_the_layers_one_by_one(layers, expanded):
    x = torch.randn(1 if expanded else H, N, D, requires_grad=True)
    together = group_linear(x.expand(H, -1, -1), layers)
    apart = torch.stack([layer(rows) for layer, rows in zip(layers, x.expand(H, -1, -1), strict=True)])
    torch.testing.assert_close(together, apart)
    torch.testing.assert_close(gradients(together, layers, x), gradients(apart, layers, x))


def test_gradients_by_finite_differences(layers):
    double = [layer.double() for layer in layers]
    x = torch.randn(H, N, D, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: group_linear(x, double), (x, *double[0].parameters()))


def test_autocast_computes_in_its_type_and_keeps_that_of_the_weights(layers):
    x = torch.randn(H, N, D, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        together = group_linear(x, layers)
        apart = torch.stack([layer(rows) for layer, rows in zip(layers, x, strict=True)])
    assert together.dtype == torch.bfloat16
    torch.testing.assert_close(together, apart)
    found = gradients(together, layers, x)
    assert all(gradient.dtype == torch.float32 for gradient in found)
    torch.testing.assert_close(found, gradients(apart, layers, x), rtol=0.02, atol=0.02)


def test_gradients_have_the_layout_of_the_weights(layers):
    group_linear(torch.randn(H, N, D), layers).sum().backward()
    assert all(layer.weight.grad.is_contiguous() for layer in layers)


@pytest.mark.parametrize("wanted", [False, True])
def test_inputs_without_a_gradient_cost_no_product(layers, wanted):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        group_linear(torch.randn(H, N, D, requires_grad=wanted), layers).sum().backward()
    products = [event for event in seen.events() if event.name == "aten::bmm"]
    assert len(products) == 1 + wanted  # of the weights, and of the inputs where they are wanted
