"""The published objectives: values of ours beside the golden ones, on any device and in any precision."""

import importlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from utils.losses import feature_loss, instance_loss, normalized_entropy

MAINS = {
    "uno": "main_discover",
    "inter": "main_discover_inter",
    "intra": "main_discover_intra",
    "inter_intra": "main_discover_inter_intra",
    "mse": "main_discover_mse",
}
Compared = Iterator[tuple[str, Tensor, Tensor]]  # name, ours, the golden one: on the CPU, of one type


def discoverer_of(main: str, numbers: Mapping[str, Tensor]):
    """The Discoverer of a main with the settings of a golden file, and a network that is not looked at."""
    discoverer = importlib.import_module(MAINS[main]).Discoverer
    scalars = {name: value.item() for name, value in numbers.items() if value.ndim == 0}
    flags = ("num_large_crops", "overcluster_factor", "temperature", "epsilon_sk", "num_iters_sk")
    return discoverer(
        **{name: scalars[name] for name in flags},
        **{f"factor_{name}": scalars[f"factor_{name}"] for name in discoverer.factors},
        num_labeled_classes=scalars["num_labeled"],
        num_unlabeled_classes=scalars["num_unlabeled"],
        num_heads=numbers["logits_unlab"].shape[1],
        width=8,
        hidden_dim=8,
        multicrop=True,
    )


def discovery(main: str, numbers: Mapping[str, Tensor], device: str = "cpu", dtype: torch.dtype | None = None):
    """Losses and gradients of a discovery objective, in the file's own precision where none is given."""
    inputs = _leaves(numbers, ("logits_lab", "logits_unlab", "logits_unlab_over"), device, dtype)
    losses = discoverer_of(main, numbers).compute_losses(inputs, numbers["labels"].to(device))
    losses["loss"].backward()
    found = losses | dict(zip(("grad_lab", "grad_unlab", "grad_over"), (x.grad for x in inputs.values()), strict=True))
    return _compared(found, {name: numbers[f"{main}/{name}"] for name in found})


def disentangling(numbers: Mapping[str, Tensor], device: str = "cpu", dtype: torch.dtype | None = None) -> Compared:
    """Losses and gradients of contrastive disentangling."""
    inputs = _leaves(numbers, ("z1", "z2", "f1", "f2"), device, dtype)
    instance = instance_loss(inputs["z1"], inputs["z2"], float(numbers["instance_temperature"]))
    feature = feature_loss(inputs["f1"], inputs["f2"], float(numbers["feature_temperature"]))
    entropy = normalized_entropy(torch.cat([inputs["f1"], inputs["f2"]]))
    (instance + feature).backward()
    found = {"instance_loss": instance, "feature_loss": feature, "normalized_entropy": entropy}
    found |= {f"grad_{name}": value.grad for name, value in inputs.items()}
    return _compared(found, {name: numbers[name] for name in found})


def _leaves(numbers: Mapping[str, Tensor], names: tuple[str, ...], device: str, dtype: torch.dtype | None):
    return {name: numbers[name].to(device, dtype, copy=True).requires_grad_() for name in names}


def _compared(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Compared:
    for name, value in found.items():
        yield name, value.detach().cpu(), torch.as_tensor(expected[name]).to(value.dtype)
