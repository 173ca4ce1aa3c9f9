"""Generalized discovery's data: half of the known classes' images are labelled, all others are not."""

import numpy as np
import pytest

from tests.utils.data.makers import labels_of, write_npz
from utils.data.selection import draw_labeled
from utils.errors import UserError


def generalized(**changes):
    return {"setting": "gcd", "prop_train_labels": 0.5, **changes}


@pytest.mark.parametrize("seed", [0, 3])
def test_the_draw_is_the_published_one(seed):
    targets = np.random.RandomState(7).randint(0, 10, 1000)
    known = targets < 5
    labeled = draw_labeled(targets, known, 0.5, seed)
    # As the published code draws: rows of the known classes alone, over all of them.
    np.random.seed(seed)  # noqa: NPY002
    rows = np.random.choice(range(known.sum()), replace=False, size=(int(0.5 * known.sum()),))  # noqa: NPY002
    assert np.flatnonzero(labeled).tolist() == np.sort(np.flatnonzero(known)[rows]).tolist()
    assert len(set(np.bincount(targets[labeled]))) > 1  # not class by class


def test_a_class_without_labels_is_told():
    with pytest.raises(UserError, match=r"--prop_train_labels 0.1 leaves [34] of 4 labelled classes without"):
        draw_labeled(np.arange(12) % 4, np.full(12, True), 0.1, 0)


def test_half_of_the_known_images_are_labelled(datamodule):
    plain, data = datamodule(), datamodule(**generalized(batch_size=256))
    known = plain.train_targets < 5
    assert data.train_targets.tolist() == plain.train_targets.tolist()
    assert data.train_labeled.sum() == known.sum() // 2
    assert not data.train_labeled[~known].any()
    hidden = data.training_labels()
    assert hidden[data.train_labeled].tolist() == data.train_targets[data.train_labeled].tolist()
    assert set(hidden[~data.train_labeled]) == {-1}
    assert set(labels_of(data.train_dataloader()).tolist()) == {-1, 0, 1, 2, 3, 4}
    heap = labels_of(data.evaluation_loader("unlab/train"))
    assert set(heap.tolist()) == set(range(10))
    assert len(heap) + len(labels_of(data.evaluation_loader("lab/train"))) == len(known)
    assert any("unlabelled, of which" in line for line in data.describe())
    for name in ("unlab/test", "lab/test"):  # test images are parted by class
        assert labels_of(data.evaluation_loader(name)).tolist() == labels_of(plain.evaluation_loader(name)).tolist()


def test_the_seed_draws(datamodule):
    draws = [datamodule(**generalized(seed=seed)).train_labeled.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_pretraining_sees_labelled_images_only(datamodule):
    data = datamodule("pretrain", **generalized(batch_size=256))
    assert len(data.train_images) == len(data.train_targets) == datamodule(**generalized()).train_labeled.sum()
    assert set(labels_of(data.train_dataloader()).tolist()) == {0, 1, 2, 3, 4}


def test_an_npz_file(datamodule, tmp_path):
    write_npz(tmp_path / "data.npz", classes=4, each=6)
    counts = {"num_labeled_classes": 2, "num_unlabeled_classes": 2}
    data = datamodule(**generalized(dataset=f"npz:{tmp_path}/data.npz", **counts))
    assert data.train_labeled.sum() == 6


def test_a_heap_that_nobody_has_labelled_leaves_all_labels(datamodule, folder):
    counts = {"num_labeled_classes": 4, "num_unlabeled_classes": 2}
    data = datamodule(**generalized(dataset="folder", data_dir=str(folder), **counts))
    assert data.train_labeled.sum() == 16
    assert (~data.train_labeled).sum() == 7


def test_imagenet(datamodule, imagenet):
    counts = {"num_labeled_classes": 882, "num_unlabeled_classes": 30}
    data = datamodule(**generalized(dataset="ImageNet", data_dir=str(imagenet), prop_train_labels=1.0, **counts))
    assert data.train_labeled.sum() == 2 * 882


def drawn(loader, epoch=0):
    return np.array([row for step in range(len(loader)) for row in loader.batch_rows(epoch, step).tolist()])


@pytest.mark.parametrize("source", ["arrays", "files"])
def test_the_balanced_sampler_draws_labelled_and_unlabelled_alike(datamodule, folder, source):
    changes = {"num_labeled_classes": 4, "num_unlabeled_classes": 6}
    if source == "files":  # 16 labelled, 7 not; large enough a size to stay on disk
        changes |= {"dataset": "folder", "data_dir": str(folder), "image_size": 70, "batch_size": 1}
    data = datamodule(**generalized(sampler="balanced", **changes))
    loader = data.train_dataloader()
    rows = np.concatenate([drawn(loader, epoch) for epoch in range(100 if source == "files" else 3)])
    assert len(np.unique(drawn(loader))) < len(drawn(loader))  # with replacement
    assert data.train_labeled[rows].mean() == pytest.approx(0.5, abs=0.05)
    assert (drawn(loader) == drawn(data.train_dataloader())).all()
    assert (drawn(loader) != drawn(loader, 1)).any()
