"""SimGCD's whole step against the published code; its schedule, its edge cases, and what it must not see."""

import numpy as np
import pytest
import torch

from tests.baselines.networks import PassThrough
from utils.errors import UserError
from utils.methods.gcd_discoverer import GCDDiscoverer

SMALL = {"dataset": "digits", "num_labeled_classes": 4, "num_unlabeled_classes": 3, "width": 8}


def published(golden, file):
    """The published numbers, and a module with the published parameters."""
    numbers = np.load(golden(f"gcd/simgcd_{file}.npz"), allow_pickle=False)
    tensors = {name: torch.from_numpy(numbers[name]) for name in numbers.files if numbers[name].dtype.kind in "fib"}
    num_labeled, num_classes = int(numbers["num_labeled"]), int(numbers["num_classes"])
    module = GCDDiscoverer(
        **{**SMALL, "num_labeled_classes": num_labeled, "num_unlabeled_classes": num_classes - num_labeled},
        num_mlp_layers=int(numbers["num_layers"]),
        hidden_dim=len(numbers["head/mlp.0.bias"]),
        proj_dim=numbers["proj"].shape[1],
        temperature=float(numbers["student_temp"]),
        warmup_teacher_temp=float(numbers["warmup_teacher_temp"]),
        teacher_temp=float(numbers["teacher_temp"]),
        warmup_teacher_temp_epochs=int(numbers["warmup_epochs"]),
        max_epochs=int(numbers["num_epochs"]),
        memax_weight=float(numbers["memax_weight"]),
        sup_weight=float(numbers["sup_weight"]),
    ).double()
    encoder = PassThrough(numbers["features"].shape[1])
    rebuilt = type(module.model)(
        encoder,
        num_labeled,
        num_classes - num_labeled,
        module.hparams["hidden_dim"],
        module.hparams["proj_dim"],
        module.hparams["num_mlp_layers"],
    )
    module.model = rebuilt.double()
    names = {name: f"head/mlp.{name.removeprefix('projector.')}" for name in module.model.state_dict()}
    names["prototypes.weight"] = "head/last_layer.weight_v"
    module.model.load_state_dict({name: tensors[theirs] for name, theirs in names.items()})
    return numbers, tensors, module, names


@pytest.mark.parametrize("file", [0, 1])
def test_the_whole_step_with_gradients(golden, file):
    numbers, tensors, module, names = published(golden, file)
    features = tensors["features"].clone().requires_grad_()
    labels = torch.where(tensors["mask_lab"], tensors["labels"], -1)
    module.teacher_temperature.fill_(module.teacher_temperature_at(int(numbers["epoch"])))
    outputs = module.model(features.chunk(2))
    losses = module.compute_losses(outputs, labels)
    torch.testing.assert_close(outputs["logits"].flatten(0, 1), tensors["logits"], atol=1e-10, rtol=0)
    torch.testing.assert_close(outputs["projections"].flatten(0, 1), tensors["proj"], atol=1e-10, rtol=0)
    ours = {
        "loss": "loss",
        "loss_supervised": "cls_loss",
        "loss_distill": "distill_loss",
        "loss_mean_entropy": "me_max_loss",
        "loss_cluster": "cluster_loss",
        "loss_contrastive": "contrastive_loss",
        "loss_sup_con": "sup_con_loss",
    }
    assert losses.keys() == ours.keys()
    for name, theirs in ours.items():
        assert float(losses[name].detach()) == pytest.approx(float(numbers[theirs]), abs=1e-10), name
    losses["loss"].backward()
    torch.testing.assert_close(features.grad, tensors["grad/loss/features"], atol=1e-10, rtol=0)
    for name, parameter in module.model.named_parameters():
        torch.testing.assert_close(parameter.grad, tensors[f"grad/loss/{names[name]}"], atol=1e-10, rtol=0)


@pytest.mark.parametrize("file", [0, 1])
def test_the_teacher_sharpens_as_published(golden, file):
    numbers, tensors, module, _ = published(golden, file)
    ours = [module.teacher_temperature_at(epoch) for epoch in range(int(numbers["num_epochs"]))]
    np.testing.assert_allclose(ours, numbers["teacher_temps"], atol=1e-15)
    labels = torch.where(tensors["mask_lab"], tensors["labels"], -1)
    for epoch, loss in zip(numbers["epochs"], numbers["loss_at_epochs"], strict=True):
        module.teacher_temperature.fill_(module.teacher_temperature_at(int(epoch)))
        outputs = module.model(tensors["features"].chunk(2))
        assert module.compute_losses(outputs, labels)["loss"].item() == pytest.approx(float(loss), abs=1e-10)


@pytest.mark.parametrize("file", [0, 1])
def test_what_is_decayed_as_published(golden, file):
    numbers, _, module, names = published(golden, file)
    (optimizer,), _ = module.configure_optimizers()
    theirs = {id(parameter): names[name] for name, parameter in module.model.named_parameters()}
    decayed, not_decayed = ([theirs[id(p)].removeprefix("head/") for p in g["params"]] for g in optimizer.param_groups)
    assert (sorted(decayed), sorted(not_decayed)) == (sorted(numbers["decayed"]), sorted(numbers["not_decayed"]))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-5, 0.0]


def random_step(labels, views=2, **flags):
    torch.manual_seed(0)
    module = GCDDiscoverer(**{**SMALL, "hidden_dim": 16, "proj_dim": 8, **flags})
    outputs = module.model([torch.rand(len(labels), 3, 12, 12) for _ in range(views)])
    losses = module.compute_losses(outputs, torch.tensor(labels))
    losses["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in module.model.named_parameters()}
    return {name: value.detach() for name, value in losses.items()}, gradients


def test_labels_of_unlabelled_rows_have_no_influence():
    hidden, seen = random_step([0, 3, -1, -1, -1, 1]), random_step([0, 3, 4, 6, 5, 1])
    assert hidden[0] == seen[0]
    assert all(torch.equal(hidden[1][name], seen[1][name]) for name in seen[1])


@pytest.mark.parametrize("layers", [0, 2])
def test_a_batch_of_one_kind_is_finite(layers):
    losses, gradients = random_step([-1] * 6, num_mlp_layers=layers)
    assert losses["loss_supervised"] == 0
    assert losses.get("loss_sup_con", 0) == 0
    assert torch.stack([losses[name] for name in losses]).isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients.values() if gradient is not None)
    losses, _ = random_step([0, 1, 2, 3, 0, 1], num_mlp_layers=layers)
    assert torch.stack([losses[name] for name in losses]).isfinite().all()


def test_without_a_projector_there_are_no_contrastive_terms():
    losses, gradients = random_step([0, 1, -1, -1], num_mlp_layers=0)
    assert {"loss_contrastive", "loss_sup_con"}.isdisjoint(losses)
    assert not any("projector" in name for name in gradients)


def test_one_view_is_compared_with_itself():
    torch.manual_seed(0)
    module = GCDDiscoverer(**SMALL, num_mlp_layers=0)
    logits = torch.randn(1, 6, 7)
    labels = torch.tensor([0, 1, -1, -1, 2, -1])
    alone, twice = (module.compute_losses({"logits": x}, labels) for x in (logits, logits.repeat(2, 1, 1)))
    assert all(torch.equal(alone[name], twice[name]) for name in twice)
    with pytest.raises(UserError, match="--num_large_crops is 3, but SimGCD compares two views; give 1 or 2"):
        GCDDiscoverer(**SMALL, num_large_crops=3)


def test_standardised_features_keep_a_dead_one():
    module = GCDDiscoverer(**SMALL, num_mlp_layers=0, standardize=True)
    module.model.encoder = PassThrough(3)
    module.model.feature_mean, module.model.feature_std = torch.zeros(3), torch.ones(3)
    feats = torch.tensor([[1.0, 5.0, 2.0], [3.0, 5.0, 2.5]])
    module.model.standardize_by(feats)
    assert module.model.feature_mean.tolist() == [2.0, 5.0, 2.25]
    assert module.model.feature_std.tolist() == [1.0, 1.0, 0.25]
