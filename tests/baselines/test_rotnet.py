"""RotNet: the published turns, the objective by a loop, and the way through the stages to discovery."""

import pytest
import torch
import torch.nn.functional as F

from baselines.rotnet import METHOD, RotNet
from tests.baselines.networks import SMALL
from tests.conftest import TINY, tiny_discovery, tiny_pretraining
from tests.utils.losses import published
from utils import cli, experiment
from utils.errors import UserError
from utils.transforms.functional import quarter_turns


@pytest.mark.parametrize("number", [0, 1])
def test_turns_are_the_published_ones(golden, number):
    numbers = published.load(golden(f"methods/autonovel_{number}.npz"))
    image = numbers["rot/image"].permute(2, 0, 1)[None]  # (1, 3, H, H)
    assert torch.equal(quarter_turns(image).permute(0, 2, 3, 1), numbers["rot/images"])


def test_the_objective_is_the_cross_entropy_of_the_turns():
    module = RotNet(**SMALL).double().eval()
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    logits, targets = module.answers([images, images.flip(0)], torch.tensor([0, -1, 4]))
    total = 0.0
    for view in (images, images.flip(0)):
        for turns in range(4):
            for image in view:
                feats = module.model.encoder(torch.rot90(image, turns, (1, 2))[None])
                total += F.cross_entropy(module.turns(feats), torch.tensor([turns]))
    torch.testing.assert_close(F.cross_entropy(logits, targets), total / 24)
    assert module.hparams["temperature"] == 1


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The file that a short run leaves, and its trainer."""
    folder = tmp_path_factory.mktemp("rotnet")
    where = ["--log_dir", str(folder / "logs"), "--checkpoint_dir", str(folder), "--comment", "tiny"]
    args = cli.parse("pretrain", [*TINY["common"], "--max_epochs", "2", *where], method=METHOD)
    return folder / "rotnet-resnet18-digits-tiny.cp", experiment.pretrain(args, RotNet)


def test_a_run_shows_all_images_and_leaves_the_encoder(encoder):
    path, trainer = encoder
    assert {name.split(".")[0] for name in torch.load(path, weights_only=True)} == {"encoder"}
    assert len(trainer.datamodule.train_targets) == 1442  # of all ten classes
    assert sum(len(labels) for loader in trainer.datamodule.val_dataloader() for _, labels in loader) == 355
    assert 0 <= trainer.callback_metrics["val/acc"] <= 1
    assert not trainer.model.model.head_lab.prototypes.weight.requires_grad


def test_the_three_stages_of_autonovel(encoder, tmp_path):
    weights = tiny_pretraining(tmp_path, "--pretrained", str(encoder[0]), "--freeze_early")
    start, after = (torch.load(path, weights_only=True) for path in (encoder[0], weights))
    same = {name for name, value in start.items() if name.endswith("weight") and torch.equal(value, after[name])}
    trained = {name for name in start if name.endswith("weight")} - same
    assert trained
    assert all(".layer4." in name for name in trained)
    assert not any(".layer4." in name for name in same)
    assert after.keys() - start.keys() == {"head_lab.prototypes.weight"}
    tiny_discovery(tmp_path, "--pretrained", str(weights), "--max_epochs", "1")
    with pytest.raises(UserError, match=r"holds no labelled head .* give it to main_pretrain\.py --pretrained"):
        tiny_discovery(tmp_path, "--pretrained", str(encoder[0]), name="refused")


def test_a_backbone_is_refused():
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="leave --backbone away"):
        RotNet(dataset="digits", backbone="test_resnet", backbone_weights="none")
