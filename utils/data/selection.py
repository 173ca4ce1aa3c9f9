"""The images that a stage uses, with the program's labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.data.containers import ImageArrays, ImageFiles
from utils.data.splits import ClassSplit
from utils.devices import memory_of_machine
from utils.errors import UserError, printable, readable

Images = Tensor | list[str]
NAMED = 5  # classes named on the start-up screen


@dataclass(frozen=True)
class ImageNames:
    """By which images are found again: by their files, or by their positions in the dataset's own arrays.

    Args:
        part: ``train`` or ``test``.
        rows: (N,) positions there.
        paths: of all files of the part, those that are not among the N too; None: the images have no files.
    """

    part: str
    rows: np.ndarray
    paths: Sequence[str] | None

    def __getitem__(self, row: int) -> str:
        """The path of the file, or ``train 17``."""
        return self.file(row) or f"{self.part} {self.rows[row]}"

    def file(self, row: int) -> str | None:
        """The path of the file; None where the image has none."""
        return None if self.paths is None else self.paths[self.rows[row]]


@dataclass(frozen=True)
class Subsets:
    """Training and test images of a stage.

    Args:
        train_images, test_images: (N, 3, H, W) uint8, or N paths.
        train_targets, test_targets: (N,) int64, the truth: 0..L-1 labelled, L..L+U-1 novel, -1 unknown.
        train_labeled: (N,) bool, whether training may see the label of an image.
        train_rows, test_rows: (N,) int64, where the images are in the source.
    """

    train_images: Images
    train_targets: np.ndarray
    train_labeled: np.ndarray
    test_images: Images
    test_targets: np.ndarray
    train_rows: np.ndarray
    test_rows: np.ndarray


def select(
    source: ImageArrays | ImageFiles,
    split: ClassSplit,
    only_labeled: bool,
    prop_train_labels: float | None = None,
    seed: int = 0,
) -> Subsets:
    """Keep the images of the split, or only the labelled ones.

    Args:
        source: what was read.
        split: which of its classes are labelled.
        only_labeled: for pretraining.
        prop_train_labels: the share of the labelled classes' training images that keep their label; the others join
            the unlabelled ones (:func:`draw_labeled`). Sources that hold images which nobody has labelled keep all
            labels. None: all are kept.
        seed: of that draw.

    Raises:
        UserError: when no labelled image is left to train on, or in discovery no other, or fewer than novel classes.
    """
    train_rows, train_targets = _rows(source.train_labels, split, only_labeled, unknown=True)
    test_rows, test_targets = _rows(source.test_labels, split, only_labeled, unknown=False)
    labeled = split.is_labeled(train_targets)
    if not labeled.any():
        raise UserError(f"there are no training images of labelled classes among the {source.origin}")
    if prop_train_labels is not None and (source.train_labels >= 0).all():
        labeled = draw_labeled(train_targets, labeled, prop_train_labels, seed)
        if only_labeled:
            train_rows, train_targets, labeled = train_rows[labeled], train_targets[labeled], labeled[labeled]
    if labeled.all() and not only_labeled:
        raise UserError(
            f"all training images among the {source.origin} are of labelled classes, so that nothing can be "
            "discovered; lower --num_labeled_classes or add unlabelled images"
        )
    others = int((~labeled).sum())
    if not only_labeled and split.num_unlabeled > max(others, len(split.novel_names)):
        raise UserError(
            f"--num_unlabeled_classes {split.num_unlabeled}: only {others} training images are not of labelled "
            f"classes; choose at most {others}"
        )
    train_images: Images
    test_images: Images
    if isinstance(source, ImageArrays):
        train_images = to_tensor(source.train_images[train_rows])
        test_images = to_tensor(source.test_images[test_rows])
    else:
        train_images = [source.train_paths[row] for row in train_rows]
        test_images = [source.test_paths[row] for row in test_rows]
    return Subsets(train_images, train_targets, labeled, test_images, test_targets, train_rows, test_rows)


def draw_labeled(targets: np.ndarray, of_labeled_classes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which images of the labelled classes keep their label: drawn over all of them, not class by class.

    With seed 0 and images in the dataset's own order this is the published draw (Vaze et al., "GCD", CVPR 2022),
    which is one of numpy's legacy generator.

    Args:
        targets: (N,) int64, the truth.
        of_labeled_classes: (N,) bool.
        share: above 0 and at most 1.
        seed: below 2**32.

    Returns:
        (N,) bool.

    Raises:
        UserError: when a class is left without a labelled image.
    """
    candidates = np.flatnonzero(of_labeled_classes)
    chosen = np.random.RandomState(seed).choice(len(candidates), int(share * len(candidates)), replace=False)
    labeled = np.zeros(len(targets), bool)
    labeled[candidates[chosen]] = True
    without = np.setdiff1d(targets[of_labeled_classes], targets[labeled])
    if len(without):
        raise UserError(
            f"--prop_train_labels {share} leaves {len(without)} of {len(np.unique(targets[of_labeled_classes]))} "
            "labelled classes without a labelled image; raise it"
        )
    return labeled


def describe_split(
    split: ClassSplit,
    train_targets: np.ndarray,
    train_labeled: np.ndarray,
    test_targets: np.ndarray,
    estimated: bool = False,
) -> list[str]:
    """Lines for the start-up screen: counts and classes; ``estimated``: the data do not say how many are novel."""
    names = named_classes(split.novel_names) or "names unknown"
    novel = f"novel ones, estimated ({names})" if estimated else f"{split.num_unlabeled} novel ({names})"
    hidden = train_targets[~train_labeled]
    known, unknown = int(split.is_labeled(hidden).sum()), int((hidden < 0).sum())
    among = [f"{known:,} of labelled classes"] if known else []
    among += [f"{unknown:,} of a class that nobody knows"] if unknown else []
    of_which = f", of which {' and '.join(among)}" if among else ""
    if 0 < unknown == len(hidden):
        of_which = ", of classes that nobody knows"
    test = split.is_labeled(test_targets)
    return [
        f"images    training {int(train_labeled.sum()):,} labelled, {len(hidden):,} unlabelled{of_which}; "
        f"test {int(test.sum()):,} of labelled classes, {int((~test).sum()):,} others",
        f"classes   {split.num_labeled} labelled ({named_classes(split.labeled_names)}), {novel}",
    ]


def check_batch_size(batch_size: int, world_size: int, num_images: int, half_batches: bool) -> None:
    """Whether every process gets a training batch.

    Raises:
        UserError: if not, saying what would be right.
    """
    if half_batches and batch_size < 2:
        raise UserError(f"--batch_size {batch_size}: a batch is half labelled, half unlabelled; choose at least 2")
    if batch_size * world_size > num_images:
        processes = f" on each of {world_size} processes" if world_size > 1 else ""
        most = num_images // world_size
        advice = f"choose at most {most}" if most > 1 else "training needs at least two for each process"
        raise UserError(
            f"--batch_size {batch_size}{processes} is larger than the {num_images} training images; {advice}"
        )


def check_evaluated(counts: Sequence[int], world_size: int) -> None:
    """Whether every process evaluates an image, if any does: the others would wait for ever for one that has none.

    Args:
        counts: images of each evaluation loader, over all processes.
        world_size: number of processes.

    Raises:
        UserError: if not, with both numbers.
    """
    most = max(counts)
    if 0 < most < world_size:
        images = "1 image" if most == 1 else f"{most} images"
        raise UserError(
            f"{world_size} processes but {images} for evaluation, and each process needs one: choose at most {most} "
            "(--gpus, --num_processes, --num_nodes), or evaluate more images"
        )


def check_memory(batch_size: int, sides: Sequence[int]) -> None:
    """Whether the views of one batch, in float32, can be in memory at all.

    Args:
        batch_size: of each process.
        sides: of the views of an image, in pixels.

    Raises:
        UserError: if not, with both sizes.
    """
    needed, there = 4 * 3 * batch_size * sum(side * side for side in sides), memory_of_machine()
    if needed > there:
        raise UserError(
            f"--batch_size {batch_size} with {len(sides)} views of {max(sides)} pixels takes {readable(needed)} for "
            f"the images of one batch alone, and this machine has {readable(there)}; lower --image_size or --batch_size"
        )


def _rows(labels: np.ndarray, split: ClassSplit, only_labeled: bool, unknown: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the images that are kept, and their targets."""
    targets, keep = split.relabel(labels)
    if only_labeled:
        keep &= split.is_labeled(targets)
    if not unknown:
        keep &= targets >= 0
    return np.flatnonzero(keep), targets[keep]


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 array -> (N, 3, H, W) uint8 tensor."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def named_classes(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(map(printable, names[:NAMED])) + (f", … {len(names) - NAMED} more" if len(names) > NAMED else "")
