"""Golden numbers as tensors, and the comparison of a term and its gradients with them."""

import numpy as np
import torch

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def load(path) -> dict[str, torch.Tensor]:
    """Arrays of a golden file by name; settings are 0-d tensors, texts are left out."""
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files if file[name].dtype.kind != "U"}


def leaves(numbers, *names):
    """Copies of the named inputs that take gradients."""
    return {name: numbers[name].clone().requires_grad_() for name in names}


def require_equal(value, numbers, name, inputs, prefix="", **tolerance):
    """A term equals ``<prefix><name>``, its gradients ``<prefix>grad/<name>/<input>`` (none where that is absent)."""
    tolerance = EXACT | tolerance
    torch.testing.assert_close(value.detach(), numbers[f"{prefix}{name}"], **tolerance)
    gradients = torch.autograd.grad(value, list(inputs.values()), retain_graph=True, allow_unused=True)
    for key, gradient in zip(inputs, gradients, strict=True):
        expected = numbers.get(f"{prefix}grad/{name}/{key}", torch.zeros_like(inputs[key]))
        found = torch.zeros_like(expected) if gradient is None else gradient
        torch.testing.assert_close(found, expected, **tolerance, msg=lambda m, key=key: f"{name} by {key}: {m}")
