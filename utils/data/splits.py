"""Labelled and novel classes: which classes of a dataset are which, and the labels that the program uses.

Inside the program labelled classes are 0..L-1, novel ones L..L+U-1, and -1 is a class that nobody knows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.data.specs import DatasetSpec
from utils.errors import UserError

NOVEL_NAME = re.compile(r"novel-\d+")  # names of the clusters, beside which the known classes stand
FIXED_SPLITS = {"ImageNet": (882, 30)}  # the dataset says which classes are labelled


@dataclass(frozen=True)
class ClassSplit:
    """Which classes are labelled and which are novel.

    Args:
        order: class ids of the dataset; the labelled ones, then the novel ones of which images with truth exist.
        names: their names.
        num_labeled: L.
        num_unlabeled: U; at least ``len(order) - L``, and more where images of unknown classes are there.
    """

    order: tuple[int, ...]
    names: tuple[str, ...]
    num_labeled: int
    num_unlabeled: int

    @property
    def labeled_names(self) -> tuple[str, ...]:
        """Names of the labelled classes 0..L-1."""
        return self.names[: self.num_labeled]

    @property
    def novel_names(self) -> tuple[str, ...]:
        """Names of the novel classes L, L+1, … as far as they are known."""
        return self.names[self.num_labeled :]

    def relabel(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the program for labels of the dataset.

        Args:
            labels: (N,) int64 class ids of the dataset, -1 where unknown.

        Returns:
            Targets (N,) int64, and a boolean mask (N,) of the images that belong to the split.
        """
        outside = -2
        table = np.full(max(*self.order, labels.max(initial=0)) + 2, outside, np.int64)
        table[list(self.order)] = np.arange(len(self.order))
        table[-1] = -1
        targets = table[labels]
        return targets, targets != outside

    def is_labeled(self, targets: np.ndarray) -> np.ndarray:
        """Boolean mask (N,) of the targets in 0..L-1: those of labelled classes, not all of which need have a label."""
        return (targets >= 0) & (targets < self.num_labeled)


def check_counts(spec: DatasetSpec, num_labeled: int, num_unlabeled: int | None) -> None:
    """Whether a dataset can have L labelled and U novel classes, as far as its table entry tells.

    Raises:
        UserError: if not, saying what would be right.
    """
    if num_unlabeled is None:  # nobody knows
        return
    given = f"--num_labeled_classes {num_labeled} and --num_unlabeled_classes {num_unlabeled}"
    if min(num_labeled, num_unlabeled) < 1:
        raise UserError(f"{given}: expected at least one of each")
    if spec.name in FIXED_SPLITS and (num_labeled, num_unlabeled) != FIXED_SPLITS[spec.name]:
        expected = "--num_labeled_classes {} --num_unlabeled_classes {}".format(*FIXED_SPLITS[spec.name])
        raise UserError(f"{given} do not fit {spec.name}; its split is {expected}")
    if spec.num_classes is not None:
        _check_sum(spec.name, spec.num_classes, num_labeled, num_unlabeled)


def make_split(
    spec: DatasetSpec,
    class_names: Sequence[str],
    closed: bool,
    num_labeled: int,
    num_unlabeled: int | None,
    labeled_classes: Sequence[str] | None = None,
    trainable: Sequence[int] | None = None,
) -> ClassSplit:
    """Choose the labelled classes: those named, else the first L by id.

    Args:
        spec: of the dataset.
        class_names: by class id.
        closed: whether L + U must be the number of classes (:class:`utils.data.containers.ImageArrays`).
        num_labeled, num_unlabeled: L and U; U is None where nobody knows it: then all other classes are novel.
        labeled_classes: names of the labelled classes (or their ids, where the table fixes the number of classes),
            in the order of their targets.
        trainable: class ids that have training images and so can be labelled; None: all.

    Raises:
        UserError: for counts that the dataset cannot have, and for unknown, repeated or miscounted names.
    """
    check_counts(spec, num_labeled, num_unlabeled)
    if closed and num_unlabeled is not None:
        _check_sum(spec.name, len(class_names), num_labeled, num_unlabeled)
    choices = list(range(len(class_names))) if trainable is None else sorted(trainable)
    if not choices:
        raise UserError("no training image has a label; discovery starts from images of known classes")
    if num_labeled > len(choices):
        raise UserError(
            f"--num_labeled_classes {num_labeled}: there are training images of {len(choices)} classes only; "
            f"choose at most {len(choices)}"
        )
    labeled = choices[:num_labeled]
    if labeled_classes is not None:
        labeled = _named(spec, class_names, choices, labeled_classes, num_labeled)
    taken = [class_names[class_id] for class_id in labeled if NOVEL_NAME.fullmatch(class_names[class_id])]
    if taken:
        raise UserError(f"the known class '{taken[0]}' has the name of a discovered cluster; rename it")
    novel = [class_id for class_id in range(len(class_names)) if class_id not in labeled]
    if num_unlabeled is None:
        num_unlabeled = len(novel)
    if len(novel) > num_unlabeled:
        raise UserError(
            f"--num_unlabeled_classes {num_unlabeled}: besides the {num_labeled} labelled classes there are images "
            f"of {len(novel)} others; choose at least {len(novel)}"
        )
    order = (*labeled, *novel)
    return ClassSplit(order, tuple(class_names[class_id] for class_id in order), num_labeled, num_unlabeled)


def _check_sum(name: str, num_classes: int, num_labeled: int, num_unlabeled: int) -> None:
    if num_labeled + num_unlabeled != num_classes:
        raise UserError(
            f"--num_labeled_classes {num_labeled} and --num_unlabeled_classes {num_unlabeled} make "
            f"{num_labeled + num_unlabeled} classes; {name} has {num_classes}, choose numbers that add up to it"
        )


def _named(
    spec: DatasetSpec, class_names: Sequence[str], choices: list[int], labeled_classes: Sequence[str], num_labeled: int
) -> list[int]:
    """Class ids of the names in ``--labeled_classes``."""
    if spec.name in FIXED_SPLITS:
        raise UserError(f"--labeled_classes cannot be given for {spec.name}, whose split is fixed; leave it out")
    known = {class_names[class_id]: class_id for class_id in choices}
    if spec.num_classes is not None:
        known = {**{str(class_id): class_id for class_id in choices}, **known}
    unknown = [name for name in labeled_classes if name not in known]
    if unknown:
        names = ", ".join(class_names[class_id] for class_id in choices)
        raise UserError(f"--labeled_classes names the unknown class {', '.join(map(repr, unknown))}; known are {names}")
    chosen = [known[name] for name in labeled_classes]
    if len(set(chosen)) != len(chosen):
        raise UserError(f"--labeled_classes {','.join(labeled_classes)} names a class twice; name each once")
    if len(chosen) != num_labeled:
        raise UserError(
            f"--labeled_classes names {len(chosen)} classes but --num_labeled_classes is {num_labeled}; make them agree"
        )
    return chosen
