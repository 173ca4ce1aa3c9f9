"""Arrays: npz files in their variants, and the digits."""

import numpy as np
import pytest

from tests.utils.data.makers import pixels, write_npz
from utils.data.containers import SourceRequest
from utils.data.sources.readers import load_source
from utils.errors import UserError


def load(path, data_dir="."):
    return load_source(SourceRequest(f"npz:{path}", path.parent if data_dir == "." else data_dir))


def test_npz(tmp_path):
    path = tmp_path / "some.npz"
    arrays = write_npz(path)
    source = load(path)
    for name, array in arrays.items():
        assert (getattr(source, name) == array).all()
    assert source.train_labels.dtype == np.int64
    assert source.class_names == ("0", "1", "2", "3")
    assert source.closed
    assert str(path) in source.origin


def test_npz_below_data_dir(tmp_path):
    write_npz(tmp_path / "some.npz")
    assert len(load_source(SourceRequest("npz:some.npz", tmp_path)).train_images) == 24


@pytest.mark.parametrize("shape", [(24, 12, 12), (24, 12, 12, 1), (24, 12, 10)])
def test_gray_becomes_three_channels(tmp_path, shape):
    gray = pixels(*shape)
    write_npz(tmp_path / "gray.npz", train_images=gray)
    images = load(tmp_path / "gray.npz").train_images
    assert images.shape == (*shape[:3], 3)
    assert (images == gray.reshape(*shape[:3], 1)).all()


def test_column_labels(tmp_path):
    labels = np.arange(24, dtype=np.uint8)[:, None] % 4
    write_npz(tmp_path / "column.npz", train_labels=labels)
    assert load(tmp_path / "column.npz").train_labels.tolist() == labels[:, 0].tolist()


def test_validation_part_is_test_in_its_absence(tmp_path):
    path = tmp_path / "val.npz"
    arrays = write_npz(path)
    val = {"val_images": pixels(3, 12, 12, 3, seed=9), "val_labels": np.array([0, 1, 2])}
    write_npz(path, **val, test_images=None, test_labels=None)
    assert (load(path).test_images == val["val_images"]).all()
    write_npz(path, **val)
    assert (load(path).test_images == arrays["test_images"]).all()


def test_labels_with_gaps_and_unknown_ones(tmp_path):
    labels = np.array([7, 3, 11, -1] * 6)
    write_npz(tmp_path / "gaps.npz", train_labels=labels, test_labels=np.array([7, 3, 11, 7] * 2))
    source = load(tmp_path / "gaps.npz")
    assert source.class_names == ("3", "7", "11")
    assert source.train_labels[:4].tolist() == [1, 0, 2, -1]
    assert source.test_labels[:4].tolist() == [1, 0, 2, 1]
    assert not source.closed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "has no array train_labels"),
        ({"train_images": None, "train_labels": None}, "has no array train_images and no train_labels"),
        ({"test_images": None, "test_labels": None}, "has no array test_images and no test_labels"),
        ({"test_labels": None}, "has no array test_labels"),
        ({"train_images": np.zeros((24, 12, 12, 3), np.float32)}, "train_images is float32"),
        ({"train_images": pixels(24, 12)}, r"train_images is uint8 \(24, 12\)"),
        ({"train_images": pixels(24, 12, 12, 4)}, r"train_images is uint8 \(24, 12, 12, 4\)"),
        ({"train_labels": np.arange(23)}, "expected 24 integers"),
        ({"train_labels": np.zeros((24, 14), int)}, "expected 24 integers"),
        ({"train_labels": np.zeros(24)}, "train_labels is float64"),
        ({"train_labels": np.array([{"a": 1}] * 24)}, "holds pickled objects"),
        ({"train_images": pixels(0, 12, 12, 3), "train_labels": np.zeros(0, int)}, "train_images is empty"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, changes, message):
    write_npz(tmp_path / "bad.npz", **changes)
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path / "bad.npz")
    assert "bad.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("keep", [0, 20, 500, -40])
def test_truncated_npz(tmp_path, keep):
    path = tmp_path / "cut.npz"
    write_npz(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut\.npz cannot be read"):
        load(path)


def test_changed_byte_in_npz(tmp_path):
    path = tmp_path / "changed.npz"
    write_npz(path)
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"changed\.npz cannot be read"):
        load(path)


def test_single_array_is_no_npz(tmp_path):
    np.save(tmp_path / "one.npy", pixels(3, 4))
    with pytest.raises(UserError, match=r"one\.npy cannot be read"):
        load(tmp_path / "one.npy")


def test_absent_npz(tmp_path):
    with pytest.raises(UserError, match=r"there is no file absent\.npz or .*train_images, train_labels"):
        load_source(SourceRequest("npz:absent.npz", tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"images of shape \(12, 12, 3\); expected \(32, 32, 3\)"),
        ({"train_labels": np.arange(24)}, "holds the label 23; expected labels from 0 to 9"),
    ],
)
def test_cifar_npz_that_is_none(tmp_path, changes, message):
    write_npz(tmp_path / "cifar10.npz", **changes)
    with pytest.raises(UserError, match=message):
        load_source(SourceRequest("CIFAR10", tmp_path))


def test_digits(tmp_path):
    source = load_source(SourceRequest("digits", tmp_path))
    assert len(source.train_images) + len(source.test_images) == 1797
    assert source.train_images.shape[1:] == (8, 8, 3)
    assert (source.train_images.min(), source.train_images.max()) == (0, 255)
    share = np.bincount(source.test_labels) / np.bincount(np.concatenate([source.train_labels, source.test_labels]))
    assert ((share > 0.19) & (share < 0.21)).all()
    assert (load_source(SourceRequest("digits", tmp_path)).test_images == source.test_images).all()
