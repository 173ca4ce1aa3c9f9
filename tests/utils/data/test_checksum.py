"""By what a checkpoint knows images again: files by their names, arrays by their pixels."""

import shutil

import numpy as np
import pytest

from tests.utils.data.makers import pixels, write_folder, write_npz
from utils.data.checksum import checksum
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.disentangling_datamodule import ContrastiveDataModule
from utils.data.features.datamodule import FeatureDataModule

NCD = {"num_labeled_classes": 2, "num_unlabeled_classes": 3, "batch_size": 2}


def remove(root):
    (root / "unlabeled/mixed/0.png").unlink()


def rename(root):
    (root / "unlabeled/mixed/0.png").rename(root / "unlabeled/mixed/00.png")


def relabel(root):
    (root / "train/a/2.png").rename(root / "train/b/9.png")
    (root / "train/b/2.png").rename(root / "train/a/9.png")


def fewer_tests(root):
    (root / "test/a/1.png").unlink(missing_ok=True)


def contents(root, contrastive, image_size, dataset="folder"):
    given = {"dataset": dataset, "data_dir": root, "image_size": image_size}
    if contrastive:
        module = ContrastiveDataModule(batch_size=2, **given)
    else:
        module = NCDDataModule(mode="discover", **NCD, **given)
    module.setup("fit")
    return module.contents


def test_evaluation_alone_has_no_use_for_it(monkeypatch):
    for module in ("discovery_datamodule", "disentangling_datamodule"):
        monkeypatch.setattr(f"utils.data.{module}.checksum", lambda *parts: pytest.fail("all pixels were read again"))
    counts = {"num_labeled_classes": 5, "num_unlabeled_classes": 5}
    NCDDataModule(mode="discover", dataset="digits", data_dir="", batch_size=2, **counts).setup("validate")
    ContrastiveDataModule(dataset="digits", data_dir="", batch_size=2, image_size=8).setup("validate")


@pytest.mark.parametrize("contrastive", [False, True])
@pytest.mark.parametrize("image_size", [16, 80])  # in memory, on disk
def test_files_are_known_by_their_names(tmp_path, contrastive, image_size):
    write_folder(tmp_path / "here", classes="abcde")
    first = contents(tmp_path / "here", contrastive, image_size)
    assert {name: number for name, number in first.items() if name != "crc32"} == (
        {"training": 37} if contrastive else {"training": 27, "test": 10}
    )
    moved = tmp_path / "far" / "away"
    shutil.copytree(tmp_path / "here", moved)
    assert contents(moved, contrastive, image_size) == first
    for change in (remove, rename, relabel, fewer_tests):
        other = tmp_path / change.__name__
        shutil.copytree(tmp_path / "here", other)
        change(other)
        assert contents(other, contrastive, image_size)["crc32"] != first["crc32"], change


@pytest.mark.parametrize("contrastive", [False, True])
def test_arrays_are_known_by_their_pixels(tmp_path, contrastive):
    arrays = write_npz(tmp_path / "here.npz", classes=5)
    labels = arrays["train_labels"]
    other = {
        "same": {},
        "pixel": {"test_images": arrays["test_images"] ^ (np.arange(10) == 3)[:, None, None, None].astype(np.uint8)},
        "fewer": {"train_images": arrays["train_images"][:-5], "train_labels": labels[:-5]},
        "labels": {"train_labels": np.roll(labels, 1)},
    }
    found = {}
    for name, changes in other.items():
        write_npz(tmp_path / f"{name}.npz", classes=5, **changes)
        found[name] = contents(tmp_path, contrastive, 12 if contrastive else None, dataset=f"npz:{name}.npz")
    same = {name for name, each in found.items() if each == found["same"]}
    assert same == ({"same", "labels"} if contrastive else {"same"})  # nothing is learned from labels there


def test_unlabelled_images_do_not_matter_to_pretraining_and_features_are_of_images(tmp_path):
    write_folder(tmp_path, classes="abcde")
    given = {"mode": "pretrain", "dataset": "folder", "data_dir": tmp_path, **NCD}
    modules = [NCDDataModule(**given), FeatureDataModule(feature_views=2, **given), NCDDataModule(**given)]
    for module, change in zip(modules, (remove, fewer_tests, fewer_tests), strict=True):
        module.setup("fit")
        change(tmp_path)
    first, features, fewer = [module.contents for module in modules]
    assert first == features
    assert fewer == first | {"test": first["test"] - 1, "crc32": fewer["crc32"]} != first


def test_shapes_count():
    assert checksum(pixels(2, 3, 4)) != checksum(pixels(2, 3, 4).reshape(3, 2, 4))
    assert checksum(np.zeros((0, 2), np.uint8)) != checksum(np.zeros((2, 0), np.uint8))
