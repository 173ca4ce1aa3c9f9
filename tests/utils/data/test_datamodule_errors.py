"""Settings and data that do not fit end in one line for the user."""

from types import SimpleNamespace

import pytest
import torch

from tests.utils.data.makers import pixels, write_folder, write_npz
from utils.data import get_datamodule
from utils.data.disentangling_datamodule import ContrastiveDataModule
from utils.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "CIFAR11"}, "unknown dataset 'CIFAR11'; known are CIFAR10"),
        ({"num_unlabeled_classes": 4}, "make 9 classes; digits has 10"),
        ({"labeled_classes": "0,1,2,3,zero"}, "unknown class 'zero'; known are 0, 1, 2"),
        ({"batch_size": 1443}, "--batch_size 1443 is larger than the 1442 training images; choose at most 1442"),
        ({"dataset": "CIFAR10"}, "CIFAR10 is not in .*--download"),
        ({"dataset": "folder"}, "train has no class folders"),
        ({"dataset": "npz:some.npz"}, r"there is no file some\.npz"),
    ],
)
def test_what_cannot_be_used(flags, changes, message):
    with pytest.raises(UserError, match=message) as raised:
        get_datamodule(flags(**changes), "discover").setup()
    assert "\n" not in str(raised.value)


def test_imagenet_errors(flags, imagenet):
    counts = {"num_labeled_classes": 882, "num_unlabeled_classes": 30}
    for changes, message in (
        ({"imagenet_split": "D"}, "--imagenet_split D is unknown"),
        ({"imagenet_split": "B"}, "train has no folder for n"),
        ({"batch_size": 1}, "half labelled, half unlabelled; choose at least 2"),
        ({"labeled_classes": "n01440764"}, "cannot be given for ImageNet"),
    ):
        with pytest.raises(UserError, match=message):
            get_datamodule(flags(dataset="ImageNet", data_dir=imagenet, **counts, **changes), "discover").setup()


def test_nothing_to_discover(datamodule, tmp_path):
    write_folder(tmp_path, unlabeled=0)
    with pytest.raises(UserError, match="nothing can be discovered"):
        datamodule(dataset="folder", num_labeled_classes=4, num_unlabeled_classes=2)
    assert len(datamodule("pretrain", dataset="folder", num_labeled_classes=4).train_targets) == 16


def on_processes(module, count, limit_val_batches=1.0):
    """A datamodule of one of several processes, set up."""
    module.trainer = SimpleNamespace(
        global_rank=count - 1,
        world_size=count,
        limit_val_batches=limit_val_batches,
        current_epoch=0,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    module.setup("fit")
    return module


def test_a_process_without_an_image_of_evaluation(flags, tmp_path):
    """One test image of a known class and three of novel ones, or three evaluated images in all."""
    few = {"test_images": pixels(4, 12, 12, 3), "test_labels": [0, 2, 3, 3]}
    write_npz(tmp_path / "few.npz", **few)
    settings = {"batch_size": 2, "num_labeled_classes": 2, "num_unlabeled_classes": 2}
    made = flags(dataset=f"npz:{tmp_path}/few.npz", **settings)
    with pytest.raises(UserError, match=r"^2 processes but 1 image for evaluation, .*: choose at most 1 \(") as raised:
        on_processes(get_datamodule(made, "pretrain"), 2)
    assert "\n" not in str(raised.value)
    on_processes(get_datamodule(made, "pretrain"), 2, limit_val_batches=0)
    module = on_processes(get_datamodule(made, "discover"), 4)
    assert [len(loader) for loader in module.val_dataloader()] == [1, 0, 0]
    assert module.allow_zero_length_dataloader_with_multiple_devices
    contrastive = {"dataset": made.dataset, "data_dir": tmp_path, "batch_size": 2, "image_size": 12, "share": 3 / 28}
    on_processes(ContrastiveDataModule(**contrastive), 3)
    with pytest.raises(UserError, match=r"^4 processes but 3 images for evaluation"):
        on_processes(ContrastiveDataModule(**contrastive), 4)
