"""Weights know the names of their classes, and nobody meets other classes under them in silence."""

import copy
from collections import OrderedDict

import pytest
import torch

from tests.conftest import tiny_discovery, tiny_pretraining
from tests.utils.data.makers import write_folder
from utils import cli, torch_files
from utils.errors import UserError
from utils.inference import evaluate_checkpoint
from utils.inference.discovery_checkpoint import collected
from utils.torch_files import class_names_of

SMALL = ["--dataset", "folder", "--num_labeled_classes", "2", "--num_unlabeled_classes", "2", "--batch_size", "4"]
SMALL += ["--max_epochs", "1", "--warmup_epochs", "0", "--num_workers", "0", "--image_size", "8"]


def test_the_names_are_beside_the_published_keys(tiny_run, tmp_path):
    weights = torch.load(tiny_run[2], weights_only=True)
    assert class_names_of(weights) == list("01234")
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    network = copy.deepcopy(tiny_run[1].lightning_module.model)
    assert not network.load_state_dict(weights, strict=False).unexpected_keys  # as any program would
    torch_files.save_weights(tmp_path / "x.cp", network.state_dict(), ["caf\udce9", "a\nb"])
    assert class_names_of(torch_files.load_torch(tmp_path / "x.cp")) == ["caf\udce9", "a\nb"]
    assert class_names_of(torch_files.load_torch(tiny_run[0] / "last.ckpt")) is None


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of images with other classes, and weights and a discovery run on the first; b and a are known."""
    root = tmp_path_factory.mktemp("folders")
    write_folder(root / "first", size=(8, 8))
    write_folder(root / "second", size=(8, 8), classes="wxyz")
    given = [*SMALL, "--data_dir", str(root / "first"), "--labeled_classes", "b,a"]
    tiny_pretraining(root, *given)
    weights = root / "pretrain-resnet18-folder-tiny.cp"
    tiny_discovery(root, *given, "--pretrained", str(weights))
    return root, weights


def discover_from(folders, tmp_path, *flags):
    root, weights = folders
    given = [*SMALL, "--data_dir", str(root / "first"), "--pretrained", str(weights)]
    return tiny_discovery(tmp_path, *given, *flags)


def test_discovery_in_another_order_or_of_other_classes(folders, tmp_path):
    for flags, message in (
        (["--labeled_classes", "a,b"], "classes b, a; this run's are a, b, in another order from class 0 on: give"),
        ([], "in another order"),
        (["--labeled_classes", "b,c"], "classes b, a; this run's are b, c: give the dataset and --labeled_classes"),
        (["--data_dir", str(folders[0] / "second")], "this run's are w, x: give the dataset"),
    ):
        with pytest.raises(UserError, match=message):
            discover_from(folders, tmp_path, *flags)


def test_files_without_names_are_taken_as_they_are(folders, tmp_path):
    published = OrderedDict(torch.load(folders[1], weights_only=True))
    torch.save(published, tmp_path / "published.cp")
    discover_from(folders, tmp_path, "--labeled_classes", "a,b", "--pretrained", str(tmp_path / "published.cp"))


def test_evaluation_and_figures_on_another_dataset(folders, tmp_path):
    root, _ = folders
    tiny_discovery(tmp_path, *SMALL, "--data_dir", str(root / "first"))
    checkpoint = ["--checkpoint", str(tmp_path / "logs" / "run" / "last.ckpt"), "--num_workers", "0"]
    assert evaluate_checkpoint.evaluate(cli.parse("evaluate", checkpoint))
    other = [*checkpoint, "--data_dir", str(root / "second")]
    for stage, work in (("evaluate", evaluate_checkpoint.evaluate), ("figures", collected)):
        with pytest.raises(
            UserError, match=r"on the labelled classes a, b; those of files in .*second.* are w, x: give"
        ):
            work(cli.parse(stage, other))
