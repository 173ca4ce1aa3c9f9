"""What a user can get wrong is told in one line, before any training, with exit code 2."""

import json
import subprocess
import sys

import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import ROOT
from tests.utils.data.makers import write_npz
from utils import cli, experiment
from utils.errors import UserError
from utils.inference import evaluate_checkpoint
from utils.nets import MultiHeadResNet

DIGITS = {"dataset": "digits", "num_labeled_classes": 5, "num_unlabeled_classes": 5, "width": 8, "hidden_dim": 16}


@pytest.fixture
def no_trainer(monkeypatch):
    """Fails if a run gets as far as building a Trainer."""

    def refuse(*args, **kwargs):
        raise AssertionError("a Trainer was built")

    monkeypatch.setattr(experiment.pl, "Trainer", refuse)


def discover(tmp_path, *flags):
    words = ["--no-wandb", "--log_dir", str(tmp_path / "logs"), *flags]
    return experiment.discover(Discoverer, cli.parse("discover", words, factors=Discoverer.factors))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset", "CIFAR10"], r"80 .* 20|10 classes"),
        (["--dataset", "CIFAR10", "--num_labeled_classes", "5", "--num_unlabeled_classes", "5"], "--download"),
        (["--dataset", "ImageNet", "--num_labeled_classes", "882", "--num_unlabeled_classes", "30"], "train"),
        (["--dataset", "folder"], "train"),
        (["--dataset", "npz:nothing.npz"], "nothing.npz"),
        (["--dataset", "digits", "--batch_size", "100000"], "batch_size"),
        (["--dataset", "digits", "--arch", "resnet20"], "resnet18, resnet34"),
        (["--dataset", "digits", "--gpus", "2"], "--gpus 2 but this machine has 0 GPUs"),
        (["--dataset", "digits", "--gpus", "-1"], "--gpus -1 but this machine has 0 GPUs"),
        (["--dataset", "digits", "--pretrained", "absent.cp"], "there is no file absent.cp"),
        (["--dataset", "digits", "--resume_from_checkpoint", "absent.ckpt"], "absent.ckpt: there is no such file"),
        (["--dataset", "digits", "--labeled_classes", "0,1,2,3,twelve"], "twelve"),
    ],
)
def test_wrong_settings(no_trainer, monkeypatch, tmp_path, flags, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=message) as error:
        discover(tmp_path, "--data_dir", str(tmp_path), *flags)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "logs").exists()


def test_a_damaged_archive_is_named(no_trainer, tmp_path):
    path = tmp_path / "photos.npz"
    write_npz(path)
    path.write_bytes(path.read_bytes()[:-300])
    flags = ["--dataset", f"npz:{path}", "--num_labeled_classes", "2", "--num_unlabeled_classes", "2"]
    with pytest.raises(UserError, match=r"photos\.npz"):
        discover(tmp_path, *flags)


def pretrained(path, **changes):
    """Weights as main_pretrain.py leaves them, for another network than DIGITS where changed."""
    settings = {
        "arch": "resnet18",
        "low_res": True,
        "num_labeled": 5,
        "num_unlabeled": 5,
        "num_heads": None,
        "width": 8,
    }
    state = MultiHeadResNet(**(settings | changes)).state_dict()
    torch.save(state, path)
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_labeled": 8}, r"holds 8 labelled prototypes but --num_labeled_classes is 5"),
        ({"arch": "resnet34"}, r"encoder\.layer\S+ is not in this network"),
        ({"width": 16}, r"holds a ResNet of width 16 but --width is 8"),
        ({"low_res": False}, r"encoder\.conv1\.weight has shape \(8, 3, 7, 7\) instead of \(8, 3, 3, 3\)"),
    ],
)
def test_pretrained_weights_of_another_network(tmp_path, changes, message):
    pretrained(tmp_path / "x.cp", **changes)
    with pytest.raises(UserError, match=message):
        Discoverer(**DIGITS, pretrained=str(tmp_path / "x.cp"))


def test_a_missing_tensor_is_named(tmp_path):
    state = pretrained(tmp_path / "x.cp")
    del state["encoder.layer3.0.conv2.weight"]
    torch.save(state, tmp_path / "x.cp")
    with pytest.raises(UserError, match=r"encoder\.layer3\.0\.conv2\.weight is missing"):
        Discoverer(**DIGITS, pretrained=str(tmp_path / "x.cp"))


def test_other_formats(tmp_path):
    path = tmp_path / "x.cp"
    torch.save({"state_dict": pretrained(path), "epoch": 3}, path)
    with pytest.raises(UserError, match="not a bare state_dict"):
        Discoverer(**DIGITS, pretrained=str(path))
    path.write_bytes(b"no checkpoint at all")
    with pytest.raises(UserError, match="damaged"):
        Discoverer(**DIGITS, pretrained=str(path))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        Discoverer(**DIGITS, pretrained=str(path))


def test_a_checkpoint_that_would_run_code_is_refused_unrun(tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"encoder.conv1.weight": Attack()}, tmp_path / "x.cp")
    with pytest.raises(UserError, match="holds code"):
        Discoverer(**DIGITS, pretrained=str(tmp_path / "x.cp"))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "key", ["pretrain resnet18 CIFAR 5 labelled", "discover resnet18 CIFAR 5+5, 4 heads, overcluster 10"]
)
def test_a_published_file_loads(golden, tmp_path, key):
    """A file with the published layout that this project did not write; heads of novel classes in it are not read."""
    shapes = json.loads(golden("state_dict_keys.json").read_text())[key]
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(7) for name, shape in shapes.items()
    }
    torch.save(state, tmp_path / "published.cp")
    flags = DIGITS | {"width": 64, "dataset": "CIFAR10", "num_heads": 2}
    module = Discoverer(**flags, pretrained=str(tmp_path / "published.cp"))
    for name, value in module.model.state_dict().items():
        if name.startswith(("encoder.", "head_lab.")):
            assert torch.equal(value, state[name]), name


def test_evaluating_something_else(tmp_path):
    path = tmp_path / "x.cp"
    pretrained(path)
    with pytest.raises(UserError, match="not a checkpoint of a discovery run"):
        evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(path)]))
    with pytest.raises(UserError, match="there is no file"):
        evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(tmp_path / "absent.ckpt")]))
    with pytest.raises(UserError, match="is a folder"):
        evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(tmp_path)]))


@pytest.mark.parametrize("debug", [False, True])
def test_one_line_and_exit_2_or_the_traceback(tmp_path, debug):
    words = ["--dataset", "npz:absent.npz", "--no-wandb", "--data_dir", str(tmp_path), *(["--debug"] if debug else [])]
    done = subprocess.run(
        [sys.executable, "main_discover.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert "absent.npz" in done.stderr
    if debug:
        assert done.returncode == 1
        assert "Traceback" in done.stderr
    else:
        assert done.returncode == 2
        assert done.stderr.startswith("main_discover.py: error: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
