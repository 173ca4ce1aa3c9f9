"""Folders of images: ImageNet's tree and one's own."""

import json
import shutil

import numpy as np
import pytest

from tests.utils.data.makers import write_folder
from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.sources.imagenet import imagenet_splits, split_wnids
from utils.data.sources.readers import load_source
from utils.errors import UserError


def test_imagenet(imagenet):
    source = load_source(SourceRequest("ImageNet", imagenet))
    assert isinstance(source, ImageFiles)
    assert np.bincount(source.train_labels).tolist() == [2] * 912
    assert source.test_labels.tolist() == list(range(912))
    assert source.class_names[:882] == tuple(sorted(source.class_names[:882]))
    for path, label in zip(source.train_paths, source.train_labels, strict=True):
        assert f"/train/{source.class_names[label]}/" in path


def test_imagenet_below_the_published_folder(imagenet, tmp_path):
    (tmp_path / "IMAGENET2012").symlink_to(imagenet)
    source = load_source(SourceRequest("ImageNet", tmp_path))
    assert len(source.train_paths) == 2 * 912
    assert "IMAGENET2012" in source.origin


def test_imagenet_splits(golden):
    published = json.loads(golden("imagenet_splits.json").read_text())
    splits = imagenet_splits()
    assert {name: sorted(wnids) for name, wnids in published.items() if name.startswith("novel")} == {
        name: wnids for name, wnids in splits.items() if name.startswith("novel")
    }
    assert not set(published["unlabelled_118"]) & set(splits["labelled_882"])
    labelled = set(splits["labelled_882"])
    novel = {name: set(splits[f"novel_30_{name}"]) for name in "ABC"}
    assert len(labelled) == 882
    assert splits["labelled_882"] == sorted(labelled)
    for name, wnids in novel.items():
        assert len(wnids) == 30
        assert not wnids & labelled
        assert set(split_wnids(name)) == labelled | wnids


def test_unknown_imagenet_split(imagenet):
    with pytest.raises(UserError, match="--imagenet_split D is unknown; known are A, B, C"):
        load_source(SourceRequest("ImageNet", imagenet, imagenet_split="D"))


def test_missing_wnids_are_named(imagenet):
    lacking = sorted(set(split_wnids("B")) - set(split_wnids("A")))
    with pytest.raises(
        UserError, match=rf"train has no folder for {'.*'.join(lacking[:8])}.* \({len(lacking)} in all\)"
    ):
        load_source(SourceRequest("ImageNet", imagenet, imagenet_split="B"))


def test_absent_imagenet(tmp_path):
    with pytest.raises(UserError, match=r"expected train/<wnid>/.*val/<wnid>/.*IMAGENET2012"):
        load_source(SourceRequest("ImageNet", tmp_path))


def test_folder_of_small_images_is_decoded(folder):
    source = load_source(SourceRequest("folder", folder))
    assert isinstance(source, ImageArrays)
    assert source.train_images.shape == (4 * 4 + 7, 16, 16, 3)
    assert source.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [-1] * 7
    assert source.test_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert source.class_names == tuple("abcd")
    assert not source.closed


@pytest.mark.parametrize(("size", "kind"), [(12, ImageArrays), (64, ImageArrays), (65, ImageFiles)])
def test_image_size_decides_where_images_live(folder, size, kind):
    source = load_source(SourceRequest("folder", folder, image_size=size))
    assert isinstance(source, kind)
    assert kind is ImageFiles or source.train_images.shape[1:] == (size, size, 3)


def test_folder_of_big_images_stays_on_disk(tmp_path):
    write_folder(tmp_path, size=(100, 80), classes="ab", unlabeled=1)
    source = load_source(SourceRequest("folder", tmp_path))
    assert isinstance(source, ImageFiles)
    assert source.train_paths[-1].endswith("unlabeled/mixed/0.png")
    assert source.train_labels.tolist() == [0] * 4 + [1] * 4 + [-1]


def test_only_train_is_needed(tmp_path):
    write_folder(tmp_path)
    shutil.rmtree(tmp_path / "test")
    shutil.rmtree(tmp_path / "unlabeled")
    source = load_source(SourceRequest("folder", tmp_path))
    assert source.test_images.shape == (0, 16, 16, 3)
    assert len(source.train_labels) == 16


def test_class_of_test_images_alone(tmp_path):
    write_folder(tmp_path, classes="acd")
    (tmp_path / "test" / "d").rename(tmp_path / "test" / "b")
    source = load_source(SourceRequest("folder", tmp_path))
    assert source.class_names == tuple("abcd")
    assert sorted(set(source.train_labels.tolist())) == [-1, 0, 2, 3]
    assert sorted(set(source.test_labels.tolist())) == [0, 1, 2]


def test_folder_without_train(tmp_path):
    with pytest.raises(UserError, match=r"train has no class folders; .*test.*unlabeled"):
        load_source(SourceRequest("folder", tmp_path))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "image.png").touch()
    with pytest.raises(UserError, match="train has no class folders"):
        load_source(SourceRequest("folder", tmp_path))


def test_empty_class_folder(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train" / "empty").mkdir()
    with pytest.raises(UserError, match="train has no image in the folder of empty"):
        load_source(SourceRequest("folder", tmp_path))


@pytest.mark.parametrize("other", ["Café", "cafe\N{COMBINING ACUTE ACCENT}"])
def test_classes_of_one_name(tmp_path, other):
    write_folder(tmp_path)
    for part, name in (("train", "café"), ("test", other)):
        (tmp_path / part / name).mkdir(parents=True)
    with pytest.raises(UserError, match="are of one name; rename one folder"):
        load_source(SourceRequest("folder", tmp_path))


def test_damaged_image_in_folder(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "unlabeled" / "mixed" / "3.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"unlabeled/mixed/3\.png cannot be read"):
        load_source(SourceRequest("folder", tmp_path))


def test_unknown_dataset(tmp_path):
    with pytest.raises(UserError, match=r"unknown dataset 'MNIST'; known are CIFAR10, .*npz:<file>"):
        load_source(SourceRequest("MNIST", tmp_path))
