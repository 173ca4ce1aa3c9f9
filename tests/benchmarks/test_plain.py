"""The plain step that ours is timed against computes the same thing."""

import sys

import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import ROOT

SIZES = {"num_labeled_classes": 3, "num_unlabeled_classes": 2, "num_heads": 2, "overcluster_factor": 2}


@pytest.fixture(scope="module")
def plain():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import plain

    yield plain
    sys.path.remove(str(ROOT / "benchmarks"))


def test_the_plain_loss_is_ours(plain):
    torch.manual_seed(0)
    module = Discoverer(dataset="CIFAR10", hidden_dim=16, proj_dim=8, multicrop=True, **SIZES).double()
    net = plain.PlainNet(3, 2, 2, 2, 16, 8).double()
    names = {"encoder.": "encoder.", "head_lab.prototypes.": "head_lab."}
    weights = {}
    for name, value in module.model.state_dict().items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        for bank in ("heads", "heads_over"):
            source = "head_unlab_over" if bank == "heads_over" else "head_unlab"
            for head in range(2):
                name = name.replace(f"{source}.projectors.{head}.mlp.", f"{bank}.{head}.mlp.")
                name = name.replace(f"{source}.prototypes.{head}.prototypes.", f"{bank}.{head}.prototypes.")
        weights[name] = value
    net.load_state_dict(weights)
    views = [torch.randn(6, 3, size, size, dtype=torch.float64) for size in (16, 16, 9, 9)]
    labels = torch.tensor([0, -1, 2, -1, 1, -1])
    ours = module.train().compute_losses(module.model(views), labels)["loss"]
    theirs = plain.plain_loss(net.train(), views, labels)
    torch.testing.assert_close(theirs, ours)
    ours.backward()
    theirs.backward()
    for name, parameter in module.model.encoder.named_parameters():
        torch.testing.assert_close(dict(net.encoder.named_parameters())[name].grad, parameter.grad)
