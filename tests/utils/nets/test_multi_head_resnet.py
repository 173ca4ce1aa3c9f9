"""Networks: published names, equality with one call a view and one call a head, normalised prototypes."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F

from utils.errors import UserError
from utils.nets import MultiHeadResNet

SMALL = {
    "arch": "resnet18",
    "low_res": True,
    "num_labeled": 4,
    "num_unlabeled": 3,
    "width": 8,
    "hidden_dim": 16,
    "proj_dim": 8,
}


def slow_forward(net, views):
    """One call a view, one call a head, as in the published network."""
    outputs = []
    for view in views:
        feats = net.encoder(view)
        result = {"feats": feats, "logits_lab": net.head_lab(F.normalize(feats))}
        for name in ("unlab", "unlab_over"):
            head = getattr(net, f"head_{name}")
            projections = [F.normalize(projector.mlp(feats)) for projector in head.projectors]
            result[f"proj_feats_{name}"] = torch.stack(projections)
            result[f"logits_{name}"] = torch.stack(
                [bank(z) for bank, z in zip(head.prototypes, projections, strict=True)]
            )
        outputs.append(result)
    return {name: torch.stack([output[name] for output in outputs]) for name in outputs[0]}


def views(sizes=(12, 12, 8, 8), batch_size=5):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(batch_size, 3, size, size, generator=generator) for size in sizes]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("num_hidden_layers", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(12, 12, 8, 8), (12, 8, 12), (12,)])
def test_views_and_heads_together_equal_separate_calls(training, num_hidden_layers, sizes):
    torch.manual_seed(0)
    net = MultiHeadResNet(**SMALL, num_heads=3, num_hidden_layers=num_hidden_layers).double().train(training)
    reference = copy.deepcopy(net)
    batch = [view.double() for view in views(sizes)]
    outputs, expected = net(batch), slow_forward(reference, batch)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name], value, rtol=1e-9, atol=1e-9)
    for result in (outputs, expected):
        torch.stack([(value * value.detach().cos()).sum() for value in result.values()]).sum().backward()
    for (name, ours), theirs in zip(net.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-7, msg=name)
    for (name, ours), theirs in zip(net.named_buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=f"running statistics: {name}")


def test_shapes():
    outputs = MultiHeadResNet(**SMALL, num_heads=2, overcluster_factor=4)(views())
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "feats": (4, 5, 64),
        "logits_lab": (4, 5, 4),
        "logits_unlab": (4, 2, 5, 3),
        "logits_unlab_over": (4, 2, 5, 12),
        "proj_feats_unlab": (4, 2, 5, 8),
        "proj_feats_unlab_over": (4, 2, 5, 8),
    }


def test_one_tensor_has_no_view_axis():
    net = MultiHeadResNet(**SMALL, num_heads=2).eval()
    image = views()[0]
    for name, value in net(image).items():
        torch.testing.assert_close(value, net([image])[name][0])


def test_without_heads():
    outputs = MultiHeadResNet(**SMALL, num_heads=None)(views())
    assert set(outputs) == {"feats", "logits_lab"}


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("pretrain resnet18 CIFAR 5 labelled", ("resnet18", True, 5, 5, 2048, 256, 3, None)),
        ("discover resnet18 CIFAR 5+5, 4 heads, overcluster 10", ("resnet18", True, 5, 5, 2048, 256, 10, 4)),
        ("discover resnet18 ImageNet 882+30, 2 heads, overcluster 4", ("resnet18", False, 882, 30, 2048, 256, 4, 2)),
    ],
)
def test_published_names_and_shapes(golden, key, arguments):
    expected = json.loads(golden("state_dict_keys.json").read_text())[key]
    with torch.device("meta"):
        net = MultiHeadResNet(*arguments)
    assert {name: list(value.shape) for name, value in net.state_dict().items()} == expected


def test_normalize_prototypes():
    net = MultiHeadResNet(**SMALL, num_heads=2)
    net.normalize_prototypes()
    weights = [value for name, value in net.state_dict().items() if "prototypes.weight" in name]
    assert len(weights) == 5
    for weight in weights:
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(len(weight)))


def test_logits_are_cosines_after_normalisation():
    net = MultiHeadResNet(**SMALL, num_heads=2)
    net.normalize_prototypes()
    outputs = net(views())
    for name in ("logits_lab", "logits_unlab", "logits_unlab_over"):
        assert outputs[name].abs().max() <= 1 + 1e-5


def test_under_autocast_features_are_normalised_and_multiplied_with_prototypes_in_float32():
    net = MultiHeadResNet(**SMALL, num_heads=2)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = net(views())
    unit = F.normalize(outputs["feats"].double(), dim=-1)
    expected = {"logits_lab": unit @ net.head_lab.prototypes.weight.double().T}
    for name in ("unlab", "unlab_over"):
        unit = outputs[f"proj_feats_{name}"].double()  # (V, H, B, P)
        torch.testing.assert_close(unit.norm(dim=-1), torch.ones_like(unit[..., 0]), rtol=0, atol=1e-6)
        weight = torch.stack([bank.prototypes.weight.double() for bank in getattr(net, f"head_{name}").prototypes])
        expected[f"logits_{name}"] = unit @ weight.mT
    for name, value in expected.items():
        assert outputs[name].dtype == torch.float32, name
        torch.testing.assert_close(outputs[name].double(), value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("arch", "features"), [("resnet18", 64), ("resnet34", 64), ("resnet50", 256)])
def test_width_scales_every_stage(arch, features):
    net = MultiHeadResNet(arch, True, 2, 2, num_heads=None, width=8)
    assert net.encoder.num_features == features
    assert net([torch.rand(2, 3, 16, 16)])["feats"].shape == (1, 2, features)


def test_unknown_architecture():
    with pytest.raises(UserError, match="resnet18, resnet34"):
        MultiHeadResNet("vgg", True, 2, 2)
