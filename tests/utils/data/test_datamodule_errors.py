"""Settings and data that do not fit end in one line for the user."""

import pytest

from tests.utils.data.makers import write_folder
from utils.data import get_datamodule
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
