"""The datasets of contrastive disentangling in their real formats, and what its datamodule makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.utils.data.makers import pixels, write_cifar, write_npz
from utils.data.containers import SourceRequest
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.disentangling_datamodule import ContrastiveDataModule
from utils.data.sources.cifar import to_super_classes
from utils.data.sources.cifar_files import CIFAR100_CLASSES, SUPER_CLASSES
from utils.data.sources.readers import load_source
from utils.errors import UserError

# The labels that CIFAR-100's own files give to its fine classes 0 to 99.
# fmt: off
COARSE = [
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
]
# fmt: on


def write_stl10(data_dir: Path, train: int = 10, test: int = 12, unlabeled: int | None = 6) -> dict[str, np.ndarray]:
    """The binary format: channel by channel, each column by column; labels count from 1."""
    folder = data_dir / "stl10_binary"
    folder.mkdir(parents=True)
    images = {}
    for number, (part, count) in enumerate({"train": train, "test": test, "unlabeled": unlabeled}.items()):
        if count is not None:
            images[part] = pixels(count, 96, 96, 3, seed=number)
            images[part].transpose(0, 3, 2, 1).tofile(folder / f"{part}_X.bin")
            if part != "unlabeled":
                (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(folder / f"{part}_y.bin")
    return images


def write_image(path: Path, value: int, side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (value, 0, 0)).save(path)


def datamodule(tmp_path, dataset, **settings):
    module = ContrastiveDataModule(dataset=dataset, data_dir=tmp_path, **{"batch_size": 4, "image_size": 16} | settings)
    module.setup()
    return module


def test_stl10(tmp_path):
    images = write_stl10(tmp_path)
    source = load_source(SourceRequest("stl10", tmp_path))
    assert np.array_equal(source.train_images, images["train"])
    assert np.array_equal(source.test_images, images["test"])
    assert source.test_labels.tolist() == [*range(10), 0, 1]
    assert source.extra_images is None
    assert np.array_equal(
        load_source(SourceRequest("stl10", tmp_path, use_unlabeled=True)).extra_images, images["unlabeled"]
    )


def test_stl10_trains_on_everything_and_evaluates_what_has_labels(tmp_path):
    write_stl10(tmp_path)
    plain, more = datamodule(tmp_path, "stl10"), datamodule(tmp_path, "stl10", use_unlabeled=True)
    assert (len(plain.images), len(more.images)) == (22, 28)
    for module in (plain, more):
        assert [len(labels) for _, labels in module.val_dataloader()] == [22]
        for views, labels in module.train_dataloader():
            assert [view.shape for view in views] == [(4, 3, 16, 16)] * 2
            assert (labels == -1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "test_y.bin").unlink(), r"there is no test_y\.bin; --download"),
        (lambda folder: (folder / "train_X.bin").write_bytes(b"123"), r"train_X\.bin is damaged: 3 bytes"),
        (lambda folder: (folder / "train_y.bin").write_bytes(b"\x0b" * 10), r"train_y\.bin is damaged.*10 labels"),
        (lambda folder: (folder / "train_y.bin").write_bytes(b"\x01"), r"train_y\.bin is damaged.*10 labels"),
    ],
)
def test_damaged_stl10(tmp_path, change, message):
    write_stl10(tmp_path)
    change(tmp_path / "stl10_binary")
    with pytest.raises(UserError, match=message):
        load_source(SourceRequest("stl10", tmp_path))


def test_stl10_without_its_unlabelled_file(tmp_path):
    write_stl10(tmp_path, unlabeled=None)
    load_source(SourceRequest("stl10", tmp_path))
    with pytest.raises(UserError, match=r"no unlabeled_X\.bin"):
        load_source(SourceRequest("stl10", tmp_path, use_unlabeled=True))


def test_the_table_of_super_classes_is_the_published_one():
    of_class = {name: label for label, names in enumerate(SUPER_CLASSES.values()) for name in names}
    assert [of_class[name] for name in CIFAR100_CLASSES] == COARSE


def test_cifar100_means_its_super_classes(tmp_path):
    write_cifar(tmp_path, "CIFAR100", rows=100)
    coarse = load_source(SourceRequest("cifar100", tmp_path))
    assert coarse.train_labels.tolist() == COARSE
    assert len(coarse.class_names) == 20
    fine = load_source(SourceRequest("cifar100", tmp_path, fine_labels=True))
    assert fine.train_labels.tolist() == list(range(100))
    assert to_super_classes(replace(fine, train_labels=np.array([-1, 99]))).train_labels.tolist() == [-1, COARSE[99]]


def test_cifar100_from_an_npz_file(tmp_path):
    write_npz(tmp_path / "cifar100.npz", classes=100, each=2, size=32)
    assert load_source(SourceRequest("cifar100", tmp_path)).train_labels.tolist() == 2 * COARSE
    assert len(load_source(SourceRequest("CIFAR100", tmp_path)).class_names) == 100


def test_tiny_imagenet(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for value, wnid in enumerate(["n01", "n02"]):
        write_image(root / "train" / wnid / "images" / f"{wnid}_0.JPEG", 100 * value)
        write_image(root / "val" / "images" / f"val_{value}.JPEG", 100 * value)
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n")
    (root / "train" / ".ipynb_checkpoints").mkdir()  # no class
    source = load_source(SourceRequest("tiny-imagenet", tmp_path))
    assert source.train_images.shape == (2, 64, 64, 3)
    assert (source.train_labels.tolist(), source.test_labels.tolist()) == ([0, 1], [1, 0])
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\n")
    with pytest.raises(UserError, match=r"val_annotations\.txt does not say a known class"):
        load_source(SourceRequest("tiny-imagenet", tmp_path))


@pytest.mark.parametrize("inner", ["", "train"])
def test_imagenet10_stays_on_disk(tmp_path, inner):
    for value in range(6):
        write_image(tmp_path / "imagenet-10" / inner / f"n{value % 2}" / f"{value}.JPEG", 40 * value, side=40)
    (tmp_path / "imagenet-10" / inner / ".ipynb_checkpoints").mkdir()  # no class
    module = datamodule(tmp_path, "imagenet10", batch_size=3)
    assert module.class_names == ("n0", "n1")
    (views, labels), _ = list(module.train_dataloader())
    assert views[0].shape == (3, 3, 16, 16)
    assert (labels == -1).all()
    ((shown, truth),) = list(module.val_dataloader())
    assert truth.tolist() == [0, 0, 0, 1, 1, 1]
    assert 0 <= shown.min() <= shown.max() <= 1
    torch.testing.assert_close(module.views_of([4]), shown[4:5])


@pytest.mark.parametrize(
    ("dataset", "classes", "size"), [("cifar100", 20, 32), ("stl10", 10, 96), ("imagenet10", 10, 224)]
)
def test_discovery_takes_these_names_too(tmp_path, dataset, classes, size):
    write_cifar(tmp_path, "CIFAR100", rows=100)
    write_stl10(tmp_path)
    for value in range(20):
        write_image(tmp_path / "imagenet-10" / f"n{value % 10}" / f"{value}.JPEG", value)
    counts = {"batch_size": 2, "num_labeled_classes": classes - 5, "num_unlabeled_classes": 5}
    module = NCDDataModule(mode="discover", dataset=dataset, data_dir=tmp_path, **counts)
    module.setup("fit")
    assert (module.split.num_labeled, module.spec.image_size) == (classes - 5, size)
    assert set(module.training_labels()) == {*range(classes - 5), -1}


@pytest.mark.parametrize("dataset", ["npz:a.npz", "imagenet10"])
def test_evaluation_shows_whole_images_and_plain_pixels(tmp_path, dataset):
    """Resized to a square as published: nothing is cut off, nothing normalised."""
    striped = np.zeros((20, 40, 3), np.uint8)
    striped[:, :10], striped[:, 30:] = 255, 51
    write_npz(tmp_path / "a.npz", train_images=striped[None].repeat(24, 0), test_images=striped[None].repeat(8, 0))
    for number in range(4):
        path = tmp_path / "imagenet-10" / f"n{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(striped).save(path)
    module = datamodule(tmp_path, dataset)
    ((shown, _),) = module.val_dataloader()
    torch.testing.assert_close(module.views_of(range(len(shown))), shown)
    columns = shown.mean(dim=(0, 1, 2))
    expected = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.2])
    torch.testing.assert_close(columns[[0, 1, 2, 6, 8, 9, 13, 14, 15]], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("imagenet10", "imagenet10 is not in"),
        ("tiny-imagenet", "tiny-imagenet is not in"),
        ("stl10", "stl10 is not whole"),
    ],
)
def test_absent_data(tmp_path, dataset, message):
    with pytest.raises(UserError, match=message):
        load_source(SourceRequest(dataset, tmp_path))


def test_a_folder_of_images_that_nobody_has_labelled(tmp_path):
    for value in range(5):
        write_image(tmp_path / "unlabeled" / f"{value}.png", 40 * value, side=20)
    module = datamodule(tmp_path, "folder")
    assert (module.targets == -1).all()
    assert module.describe()[-1] == "classes   unknown"
    named = datamodule(tmp_path / "elsewhere", "photos", own_datasets={"photos": str(tmp_path)})
    assert torch.equal(named.images, module.images)
    with pytest.raises(UserError, match=r"has no class folders.*\(--data_dir says where\)"):
        load_source(SourceRequest("folder", tmp_path))
    with pytest.raises(UserError, match=r"has no class folders.*\(--customize_datasets says where\)"):
        datamodule(tmp_path, "photos", own_datasets={"photos": str(tmp_path / "absent")})


def test_a_share_is_a_function_of_the_seed(tmp_path):
    write_npz(tmp_path / "a.npz", classes=4, each=8)
    whole = datamodule(tmp_path, "npz:a.npz")
    first, same, other = (datamodule(tmp_path, "npz:a.npz", share=0.25, seed=seed) for seed in (0, 0, 1))
    assert (len(whole.rows), len(first.rows)) == (40, 10)
    assert np.array_equal(first.rows, same.rows)
    assert not np.array_equal(first.rows, other.rows)
    assert len(datamodule(tmp_path, "npz:a.npz", share=1).rows) == 40


def test_training_and_test_images_of_different_sizes(tmp_path):
    write_npz(tmp_path / "a.npz", test_images=pixels(8, 9, 9, 3))
    with pytest.raises(UserError, match="different sizes"):
        datamodule(tmp_path, "npz:a.npz")
