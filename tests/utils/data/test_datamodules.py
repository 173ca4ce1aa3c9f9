"""The datamodule without a trainer: split sizes, labels, no leak of truth, image sizes."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.utils.data.makers import labels_of, pixels, write_cifar, write_npz
from utils.data import get_datamodule
from utils.data.sources.digits import read_digits

TEST_COUNTS = np.bincount(read_digits(None).test_labels)


def test_flags_need_no_torch():
    code = "import sys, utils.data, utils.data.specs; assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_unknown_mode(flags):
    with pytest.raises(ValueError, match="unknown mode 'predict'; known are pretrain, discover"):
        get_datamodule(flags(), "predict")


def test_pretraining_sees_labelled_classes_only(datamodule):
    data = datamodule("pretrain", batch_size=16)
    labels = labels_of(data.train_dataloader())
    assert set(labels.tolist()) == {0, 1, 2, 3, 4}
    assert len(data.train_images) == len(data.train_targets)
    (loader,) = data.val_dataloader()
    assert np.bincount(labels_of(loader)).tolist() == TEST_COUNTS[:5].tolist()
    views, _ = next(iter(data.train_dataloader()))
    assert [tuple(view.shape) for view in views] == [(16, 3, 12, 12)] * 2


@pytest.mark.parametrize(("multicrop", "views"), [(False, 2), (True, 4)])
def test_discovery(datamodule, multicrop, views):
    data = datamodule(multicrop=multicrop)
    assert data.dataloader_mapping == {0: "unlab/train", 1: "unlab/test", 2: "lab/test"}
    batch, labels = next(iter(data.train_dataloader()))
    assert len(batch) == views
    assert (labels.dtype, labels.shape) == (torch.int64, (8,))
    unlab_train, unlab_test, lab_test = (labels_of(loader) for loader in data.val_dataloader())
    assert len(unlab_train) == (data.train_targets >= 5).sum()
    assert set(unlab_train.tolist()) == {5, 6, 7, 8, 9}
    assert np.bincount(unlab_test)[5:].tolist() == TEST_COUNTS[5:].tolist()
    assert np.bincount(lab_test).tolist() == TEST_COUNTS[:5].tolist()
    assert data.train_images.shape == (1442, 3, 8, 8)
    assert data.spec.image_size == 12


def test_pretraining_has_no_small_crops(datamodule):
    views, _ = next(iter(datamodule("pretrain", multicrop=True, num_large_crops=3).train_dataloader()))
    assert len(views) == 3


def test_no_truth_leaks(datamodule):
    data = datamodule(batch_size=1)
    loader = data.train_dataloader()
    hidden = loader.labels.cpu().numpy()
    assert set(hidden.tolist()) == {-1, 0, 1, 2, 3, 4}
    assert ((hidden == -1) == (data.train_targets >= 5)).all()
    assert (hidden[hidden >= 0] == data.train_targets[hidden >= 0]).all()


def test_no_truth_leaks_from_files(datamodule, imagenet):
    data = datamodule(
        dataset="ImageNet", data_dir=imagenet, num_labeled_classes=882, num_unlabeled_classes=30, image_size=72
    )
    hidden = data.train_dataloader()._loader.dataset.labels
    assert ((hidden == -1) == (data.train_targets >= 882)).all()


def test_epochs_and_seeds(datamodule):
    data = datamodule(batch_size=32)

    def first():
        views, labels = next(iter(data.train_dataloader()))
        return torch.stack(views), labels

    (views, labels), (again, same_labels) = first(), first()
    assert torch.equal(views, again)
    assert torch.equal(labels, same_labels)
    data.epoch = 1
    assert not torch.equal(views, first()[0])
    assert not torch.equal(views, torch.stack(next(iter(datamodule(batch_size=32, seed=1).train_dataloader()))[0]))


def test_named_classes(datamodule):
    data = datamodule(labeled_classes="7, 1", num_labeled_classes=2, num_unlabeled_classes=8)
    assert data.class_names == ("7", "1", "0", "2", "3", "4", "5", "6", "8", "9")
    lab_test = labels_of(data.evaluation_loader("lab/test"))
    assert np.bincount(lab_test).tolist() == [TEST_COUNTS[7], TEST_COUNTS[1]]


def test_data_are_read_once(datamodule, monkeypatch):
    data = datamodule()
    monkeypatch.setattr("utils.data.discovery_datamodule.load_source", None)
    data.setup("fit")
    data.setup("validate")


def test_labelled_classes_do_not_depend_on_what_a_subset_holds(datamodule, tmp_path):
    labels = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 9] * 2)
    write_npz(
        tmp_path / "cifar10.npz",
        train_images=pixels(20, 32, 32, 3),
        train_labels=labels,
        test_images=pixels(8, 32, 32, 3),
    )
    assert datamodule(dataset="CIFAR10").split.order == tuple(range(10))


@pytest.mark.parametrize(
    ("name", "num_labeled", "num_unlabeled"), [("CIFAR10", 5, 5), ("CIFAR100", 80, 20), ("CIFAR100", 50, 50)]
)
def test_cifar(datamodule, tmp_path, name, num_labeled, num_unlabeled):
    write_cifar(tmp_path, name, rows=100)
    data = datamodule(dataset=name, num_labeled_classes=num_labeled, num_unlabeled_classes=num_unlabeled)
    share = num_labeled / (num_labeled + num_unlabeled)
    unlab_train, unlab_test, lab_test = (labels_of(loader) for loader in data.val_dataloader())
    assert len(unlab_train) == round((1 - share) * len(data.train_targets))
    assert (len(unlab_test), len(lab_test)) == (round((1 - share) * 100), round(share * 100))
    assert unlab_test.min() >= num_labeled > lab_test.max()
    assert data.describe()[0].startswith(f"data      {name}: torchvision files in")


def test_image_size_resizes_arrays_that_are_padded(datamodule, tmp_path):
    write_cifar(tmp_path, "CIFAR10", rows=20)
    data = datamodule(dataset="CIFAR10", image_size=24)
    assert data.train_images.shape[1:] == (3, 24, 24)
    views, _ = next(iter(data.train_dataloader()))
    assert views[0].shape == (8, 3, 24, 24)


@pytest.mark.parametrize(("size", "low_res"), [((20, 20), True), ((20, 26), True), ((80, 80), False)])
def test_npz(datamodule, tmp_path, size, low_res):
    write_npz(tmp_path / "some.npz", train_images=pixels(24, *size, 3), test_images=pixels(8, *size, 3))
    data = datamodule(dataset="npz:some.npz", num_labeled_classes=2, num_unlabeled_classes=2)
    assert (data.spec.image_size, data.spec.low_res) == (size[0], low_res)
    views, _ = next(iter(data.train_dataloader()))
    assert views[0].shape == (8, 3, size[0], size[0])
    batch, _ = next(iter(data.val_dataloader()[0]))
    assert batch.shape == (12, 3, size[0], size[0])


@pytest.mark.parametrize("image_size", [None, 72])
def test_folder(datamodule, folder, image_size):
    data = datamodule(
        dataset="folder", data_dir=folder, num_labeled_classes=2, num_unlabeled_classes=4, image_size=image_size
    )
    size = image_size or 16
    assert data.spec.image_size == size
    assert data.in_memory == (image_size is None)
    hidden = labels_of(data.train_dataloader())
    assert set(hidden.tolist()) == {-1, 0, 1}
    truths = [labels_of(loader).tolist() for loader in data.val_dataloader()]
    assert truths == [[2] * 4 + [3] * 4 + [-1] * 7, [2, 2, 3, 3], [0, 0, 1, 1]]
    assert next(iter(data.val_dataloader()[0]))[0].shape == (15, 3, size, size)


def test_imagenet_half_batches(datamodule, imagenet):
    data = datamodule(
        dataset="ImageNet", data_dir=imagenet, num_labeled_classes=882, num_unlabeled_classes=30, image_size=72
    )
    loader = data.train_dataloader()
    assert len(loader) == 2 * 882 // 4
    views, labels = next(iter(loader))
    assert views[0].shape == (8, 3, 72, 72)
    assert (labels >= 0).tolist() == [True] * 4 + [False] * 4
    unlab_train, unlab_test, lab_test = data.val_dataloader()
    assert [len(loader._loader.dataset) for loader in (unlab_train, unlab_test, lab_test)] == [60, 30, 882]
    assert set(labels_of(unlab_test).tolist()) == set(range(882, 912))


def test_imagenet_pretraining_is_one_stream(datamodule, imagenet):
    data = datamodule(
        "pretrain", dataset="ImageNet", data_dir=imagenet, num_labeled_classes=882, num_unlabeled_classes=30
    )
    assert len(data.train_dataloader()) == 2 * 882 // 8
    assert data.spec.image_size == 224


def test_describe(datamodule, folder):
    data = datamodule(dataset="folder", data_dir=folder, num_labeled_classes=3, num_unlabeled_classes=2)
    assert data.describe() == [
        f"data      folder: files in {folder}, decoded to 16x16; images in memory, large views 16x16",
        "images    training 12 labelled, 11 unlabelled, of which 7 of a class that nobody knows; "
        "test 6 of labelled classes, 2 others",
        "classes   3 labelled (a, b, c), 2 novel (d)",
    ]
    data = datamodule(dataset="folder", data_dir=folder, num_labeled_classes=4, num_unlabeled_classes=2)
    assert "training 16 labelled, 7 unlabelled, of classes that nobody knows; test" in data.describe()[1]
