"""Trees that are made once, and the settings of a datamodule."""

from argparse import Namespace

import pytest

from tests.utils.data.makers import write_folder, write_imagenet
from utils.data import get_datamodule


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory):
    """All 912 classes of split A."""
    root = tmp_path_factory.mktemp("imagenet") / "data"
    write_imagenet(root)
    return root


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Classes a to d and unlabelled images."""
    root = tmp_path_factory.mktemp("folder") / "data"
    write_folder(root)
    return root


@pytest.fixture
def flags(tmp_path):
    """Flags as the command line leaves them; keyword arguments change some."""

    def make(**changes) -> Namespace:
        defaults = {
            "dataset": "digits",
            "data_dir": str(tmp_path),
            "download": False,
            "batch_size": 8,
            "num_workers": 0,
            "num_labeled_classes": 5,
            "num_unlabeled_classes": 5,
            "labeled_classes": None,
            "imagenet_split": "A",
            "image_size": None,
            "multicrop": False,
            "num_large_crops": 2,
            "num_small_crops": 2,
            "seed": 0,
            "eval_batch_size": 512,
        }
        return Namespace(**{**defaults, **changes})

    return make


@pytest.fixture
def datamodule(flags):
    """A datamodule that is set up, for changed flags."""

    def make(mode="discover", **changes):
        made = get_datamodule(flags(**changes), mode)
        made.setup()
        return made

    return make
