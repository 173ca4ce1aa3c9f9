"""The objective of all five mains against the numbers of the published code, gradients included."""

import importlib

import numpy as np
import pytest
import torch

MAINS = {
    "uno": "main_discover",
    "inter": "main_discover_inter",
    "intra": "main_discover_intra",
    "inter_intra": "main_discover_inter_intra",
    "mse": "main_discover_mse",
}


def build(main, numbers):
    discoverer = importlib.import_module(MAINS[main]).Discoverer
    scalars = {name: value.item() for name, value in numbers.items() if value.ndim == 0}
    flags = {
        name: scalars[name]
        for name in ("num_large_crops", "overcluster_factor", "temperature", "epsilon_sk", "num_iters_sk")
    }
    factors = {f"factor_{name}": scalars[f"factor_{name}"] for name in discoverer.factors}
    return discoverer(
        **flags,
        **factors,
        num_labeled_classes=scalars["num_labeled"],
        num_unlabeled_classes=scalars["num_unlabeled"],
        num_heads=numbers["logits_unlab"].shape[1],
        width=8,
        hidden_dim=8,
        multicrop=True,
    )


@pytest.mark.parametrize("file", [0, 1, 2])
@pytest.mark.parametrize("main", MAINS)
def test_losses_and_gradients(golden, main, file):
    numbers = dict(np.load(golden(f"discover_{file}.npz"), allow_pickle=False))
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if numbers["logits_lab"].dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    )
    names = ("logits_lab", "logits_unlab", "logits_unlab_over")
    outputs = {name: torch.from_numpy(numbers[name]).requires_grad_() for name in names}
    losses = build(main, numbers).compute_losses(outputs, torch.from_numpy(numbers["labels"]))
    losses["loss"].backward()
    for name, value in losses.items():
        torch.testing.assert_close(
            value.detach(), torch.as_tensor(numbers[f"{main}/{name}"], dtype=value.dtype), **tolerance
        )
    for name, gradient in zip(names, ("grad_lab", "grad_unlab", "grad_over"), strict=True):
        expected = torch.from_numpy(numbers[f"{main}/{gradient}"])
        torch.testing.assert_close(outputs[name].grad, expected, **tolerance)


@pytest.mark.parametrize("file", [0, 1, 2])
def test_sinkhorn_assignments(golden, file):
    numbers = dict(np.load(golden(f"discover_{file}.npz"), allow_pickle=False))
    module = build("uno", numbers)
    unlabelled = torch.from_numpy(numbers["labels"] >= int(numbers["num_labeled"]))
    large = int(numbers["num_large_crops"])
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-6} if numbers["logits_lab"].dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    )
    for logits, expected in (("logits_unlab", "sinkhorn"), ("logits_unlab_over", "sinkhorn_over")):
        result = module.sinkhorn(torch.from_numpy(numbers[logits][:large]), unlabelled)
        torch.testing.assert_close(result[:, :, unlabelled], torch.from_numpy(numbers[expected]), **tolerance)
