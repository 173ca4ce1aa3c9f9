"""UNO v1 and rKD: the whole step, network included, against the published one."""

import pytest
import torch

from baselines import rkd, uno_v1
from tests.baselines.networks import SMALL, build, load, require_gradients
from tests.utils.losses import published
from utils.errors import UserError

CLOSE = published.EXACT
LOGITS = ("logits_lab", "logits_unlab", "logits_unlab_over")


def through_everything(module, numbers, *, extra=None):
    """Losses and, in the features' and parameters' ``grad``, the gradients of the published step's inputs."""
    feats = numbers["feats"].clone().requires_grad_()
    outputs = module.model(feats.unbind())
    for value in outputs.values():
        value.retain_grad()
    losses = module.compute_losses(outputs | (extra or {}), numbers["labels"])
    losses["loss"].backward()
    return feats, outputs, losses


def require_step(module, numbers, feats, outputs):
    for name in LOGITS:
        if name in numbers:
            torch.testing.assert_close(outputs[name].detach(), numbers[name], **CLOSE)
            torch.testing.assert_close(outputs[name].grad, numbers[f"grad/{name}"], **CLOSE)
    torch.testing.assert_close(feats.grad, numbers["grad/feats"], **CLOSE)
    require_gradients(module, numbers, **CLOSE)


@pytest.mark.parametrize("number", [0, 1])
def test_uno_v1_step(golden, monkeypatch, number):
    numbers = published.load(golden(f"methods/uno1_{number}.npz"))
    views = int(numbers["num_views"])
    module = build(uno_v1.Discoverer, numbers, monkeypatch, numbers["feats"], num_large_crops=views)
    load(module, numbers)
    feats, outputs, losses = through_everything(module, numbers)
    for name in ("loss", "loss_cluster", "loss_overcluster"):
        torch.testing.assert_close(losses[name].detach(), numbers[name], **CLOSE)
    torch.testing.assert_close(losses["loss_per_head"].mean(), numbers["loss_cluster"], **CLOSE)
    targets = module.targets(outputs["logits_unlab"], numbers["labels"], numbers["mask_lab"])
    torch.testing.assert_close(targets, numbers["targets"], **CLOSE)
    require_step(module, numbers, feats, outputs)


@pytest.mark.parametrize("number", [0, 1])
def test_uno_v1_objective_without_the_network(golden, number):
    numbers = published.load(golden(f"methods/uno1_{number}.npz"))
    module = uno_v1.Discoverer(
        dataset="CIFAR10",
        width=8,
        num_labeled_classes=int(numbers["num_labeled"]),
        num_unlabeled_classes=int(numbers["num_unlabeled"]),
        num_large_crops=int(numbers["num_views"]),
        **{name: numbers[name].item() for name in ("temperature", "epsilon_sk", "num_iters_sk")},
    )
    outputs = published.leaves(numbers, *LOGITS)
    losses = module.compute_losses(outputs, numbers["labels"])
    published.require_equal(losses["loss"], numbers | renamed(numbers), "loss", outputs)


def renamed(numbers):
    return {f"grad/loss/{name}": numbers[f"grad/{name}"] for name in LOGITS if f"grad/{name}" in numbers}


@pytest.mark.parametrize("number", [0, 1])
def test_rkd_step(golden, monkeypatch, number):
    numbers = published.load(golden(f"methods/rkd_{number}.npz"))
    module = build(
        rkd.Discoverer,
        numbers,
        monkeypatch,
        numbers["feats"],
        num_large_crops=int(numbers["num_large_crops"]),
        multicrop=True,
        kd_temperature=float(numbers["kd_temperature"]),
        factor_kd=float(numbers["alpha"]),
    )
    load(module, {name: value for name, value in numbers.items() if not name.startswith("param_teacher")})
    module.teacher.to(numbers["feats"])
    module.teacher.head.prototypes.weight.data = numbers["param_teacher/head_lab.prototypes.weight"]
    large = int(numbers["num_large_crops"])
    teacher = module.teacher(numbers["feats"][:large].unbind())
    torch.testing.assert_close(teacher, numbers["old_logits_lab"][:large], **CLOSE)
    feats, outputs, losses = through_everything(
        module, numbers, extra={"teacher_logits_lab": numbers["old_logits_lab"]}
    )
    for name in ("loss", "loss_cluster", "kd_loss", "loss_per_head"):
        torch.testing.assert_close(losses[name].detach(), numbers[name], **CLOSE)
    require_step(module, numbers, feats, outputs)


def test_rkd_s_teacher_stays_outside_of_the_module():
    module = rkd.Discoverer(**SMALL)
    assert not any("teacher" in name for name in module.state_dict())
    assert not any("teacher" in name for name, _ in module.named_parameters())
    views = [torch.randn(4, 3, 12, 12) for _ in range(3)]
    outputs = module.outputs(views, torch.zeros(4))
    assert outputs["teacher_logits_lab"].shape == (2, 4, 5)
    assert not outputs["teacher_logits_lab"].requires_grad
    assert "logits_unlab_over" not in outputs
    with pytest.raises(UserError, match="rKD needs --pretrained"):
        module.on_fit_start()
