"""Which classes are labelled, and the labels inside the program."""

import numpy as np
import pytest

from utils.data.sources.cifar_files import CIFAR
from utils.data.specs import DATASETS
from utils.data.splits import check_counts, make_split
from utils.errors import UserError

CIFAR10 = CIFAR["CIFAR10"].class_names


def cifar(num_labeled, num_unlabeled, labeled_classes=None):
    return make_split(DATASETS["CIFAR10"], CIFAR10, True, num_labeled, num_unlabeled, labeled_classes)


def folder(num_labeled, num_unlabeled, labeled_classes=None, trainable=None):
    return make_split(DATASETS["folder"], "abcd", False, num_labeled, num_unlabeled, labeled_classes, trainable)


def test_first_classes_are_labelled():
    split = cifar(5, 5)
    assert split.order == tuple(range(10))
    assert split.labeled_names == CIFAR10[:5]
    assert split.novel_names == CIFAR10[5:]


@pytest.mark.parametrize("named", [("cat", "ship"), ("3", "8"), ("cat", "8")])
def test_named_classes_are_labelled(named):
    split = cifar(2, 8, named)
    assert split.order == (3, 8, 0, 1, 2, 4, 5, 6, 7, 9)
    assert split.labeled_names == ("cat", "ship")


def test_relabel():
    split = cifar(2, 8, ("cat", "ship"))
    targets, keep = split.relabel(np.array([8, 3, 0, -1, 9]))
    assert targets.tolist() == [1, 0, 2, -1, 9]
    assert keep.all()
    assert split.is_labeled(targets).tolist() == [True, True, False, False, False]


def test_classes_outside_are_dropped():
    split = make_split(DATASETS["npz"], "ab", True, 1, 1)
    targets, keep = split.relabel(np.array([1, 5, 0, -1, 2]))
    assert keep.tolist() == [True, False, True, True, False]
    assert targets[keep].tolist() == [1, 0, -1]


def test_relabel_of_nothing():
    targets, keep = cifar(5, 5).relabel(np.zeros(0, np.int64))
    assert targets.shape == keep.shape == (0,)


@pytest.mark.parametrize(
    ("name", "num_labeled", "num_unlabeled", "message"),
    [
        ("CIFAR10", 5, 4, "make 9 classes; CIFAR10 has 10"),
        ("CIFAR100", 80, 30, "make 110 classes; CIFAR100 has 100"),
        ("digits", 0, 10, "at least one of each"),
        ("digits", 10, 0, "at least one of each"),
        ("ImageNet", 880, 32, "its split is --num_labeled_classes 882 --num_unlabeled_classes 30"),
        ("ImageNet", 80, 20, "its split is --num_labeled_classes 882 --num_unlabeled_classes 30"),
    ],
)
def test_counts_that_do_not_fit(name, num_labeled, num_unlabeled, message):
    with pytest.raises(UserError, match=message):
        check_counts(DATASETS[name], num_labeled, num_unlabeled)


@pytest.mark.parametrize(
    ("name", "num_labeled", "num_unlabeled"),
    [("CIFAR10", 5, 5), ("CIFAR100", 80, 20), ("CIFAR100", 50, 50), ("ImageNet", 882, 30), ("folder", 3, 99)],
)
def test_counts_that_fit(name, num_labeled, num_unlabeled):
    check_counts(DATASETS[name], num_labeled, num_unlabeled)


def test_npz_counts_come_from_the_file():
    with pytest.raises(UserError, match="make 5 classes; npz has 4"):
        make_split(DATASETS["npz"], "abcd", True, 2, 3)


@pytest.mark.parametrize("num_unlabeled", [2, 3, 50])
def test_open_datasets_have_any_number_of_novel_classes(num_unlabeled):
    split = folder(2, num_unlabeled)
    assert split.labeled_names == ("a", "b")
    assert split.novel_names == ("c", "d")
    assert split.num_unlabeled == num_unlabeled


def test_only_classes_with_training_images_can_be_labelled():
    assert folder(2, 2, trainable=[0, 2, 3]).labeled_names == ("a", "c")
    with pytest.raises(UserError, match="training images of 3 classes only; choose at most 3"):
        folder(4, 2, trainable=[0, 2, 3])
    with pytest.raises(UserError, match="unknown class 'b'; known are a, c, d"):
        folder(1, 3, ("b",), trainable=[0, 2, 3])


def test_too_few_novel_classes_for_the_truth():
    with pytest.raises(UserError, match="there are images of 2 others; choose at least 2"):
        folder(2, 1)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (("cat", "unicorn"), "the unknown class 'unicorn'; known are airplane, automobile, .*truck"),
        (("cat", "dragon", "unicorn"), "'dragon', 'unicorn'"),
        (("cat", "cat"), "names a class twice"),
        (("cat", "3"), "names a class twice"),
        (("cat",), "names 1 classes but --num_labeled_classes is 2"),
    ],
)
def test_names_that_do_not_fit(named, message):
    with pytest.raises(UserError, match=message):
        cifar(2, 8, named)


def test_numbers_are_no_names_in_a_folder():
    with pytest.raises(UserError, match="unknown class '0'; known are a, b, c, d"):
        folder(1, 3, ("0",))


def test_imagenets_split_is_fixed():
    names = [str(number) for number in range(912)]
    with pytest.raises(UserError, match="--labeled_classes cannot be given for ImageNet"):
        make_split(DATASETS["ImageNet"], names, True, 882, 30, names[:882])
