"""The network: published names and shapes, statistics of each view, its shape read off a file."""

import json

import pytest
import torch

from utils.errors import UserError
from utils.nets.disentangling_net import DisentanglingNet, load_net

SMALL = {"backbone": "ResNet18", "hidden_dim": 12, "feature_num": 7, "low_res": True, "width": 8}


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("contrastive disentangling ResNet34, 128 features", {}),
        ("contrastive disentangling ResNet18, 256 features", {"backbone": "ResNet18", "feature_num": 256}),
    ],
)
def test_published_names_and_shapes(golden, key, arguments):
    published = json.loads(golden("state_dict_keys.json").read_text())[key]
    with torch.device("meta"):
        net = DisentanglingNet(**arguments)
    assert {name: list(value.shape) for name, value in net.state_dict().items()} == published


def test_a_published_file_loads(golden, tmp_path):
    published = json.loads(golden("state_dict_keys.json").read_text())[
        "contrastive disentangling ResNet18, 256 features"
    ]
    state = {name: torch.rand(shape) if shape else torch.tensor(3) for name, shape in published.items()}
    torch.save(state, tmp_path / "model.pth")
    net = load_net(tmp_path / "model.pth")
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_outputs_and_their_ranges():
    net = DisentanglingNet(**SMALL)
    outputs = net([torch.rand(5, 3, 16, 16) for _ in range(2)])
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "feats": (2, 5, 64),
        "projections": (2, 5, 12),
        "features": (2, 5, 7),
    }
    assert outputs["features"].min() > 0
    assert outputs["features"].max() < 1
    assert net(torch.rand(3, 3, 16, 16))["features"].shape == (3, 7)


def test_views_have_statistics_of_their_own():
    """As the published network, which passes one view after the other; running statistics included."""
    torch.manual_seed(0)
    views = [torch.rand(6, 3, 16, 16), 3 * torch.rand(6, 3, 16, 16)]
    together, apart = DisentanglingNet(**SMALL), DisentanglingNet(**SMALL)
    apart.load_state_dict(together.state_dict())
    outputs = together(views)
    for position, view in enumerate(views):
        for name, value in apart(view).items():
            torch.testing.assert_close(outputs[name][position], value, rtol=1e-4, atol=1e-5)
    for name, value in together.state_dict().items():
        torch.testing.assert_close(value, apart.state_dict()[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("changes", [{}, {"feature_num": None}, {"low_res": False}, {"backbone": "resnet50"}])
def test_the_shape_is_read_off_the_file(tmp_path, changes):
    net = DisentanglingNet(**SMALL | changes).eval()
    torch.save(net.state_dict(), tmp_path / "model.pth")
    images = torch.rand(2, 3, 32, 32)
    loaded = load_net(tmp_path / "model.pth").eval()
    for name, value in net(images).items():
        torch.testing.assert_close(loaded(images)[name], value)


def test_other_files(tmp_path):
    path = tmp_path / "model.pth"
    with pytest.raises(UserError, match=r"there is no file .*model\.pth"):
        load_net(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(UserError, match="not a bare state_dict"):
        load_net(path)
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"has no resnet\.conv1\.weight"):
        load_net(path)
    state = DisentanglingNet(**SMALL).state_dict()
    torch.save(state | {"resnet.layer2.0.conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"resnet\.layer2\.0\.conv1\.weight has shape \(1,\) instead of"):
        load_net(path)
    torch.save({name: value for name, value in state.items() if ".layer4." not in name}, path)
    with pytest.raises(UserError, match="none of resnet18"):
        load_net(path)
    with pytest.raises(UserError, match="unknown --backbone 'ResNet20'; known are ResNet18"):
        DisentanglingNet("ResNet20")
