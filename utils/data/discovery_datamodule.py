"""The datamodule of pretraining and discovery: a source, a class split, and the loaders on top of them.

Letters: N training images, L labelled and U novel classes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.data.backbone_views import seen_by
from utils.data.checksum import checksum
from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.file_loaders import FileEvalLoader, FileViewLoader
from utils.data.image_datamodule import ImageDataModule
from utils.data.loaders import EvalLoader, ViewLoader
from utils.data.selection import ImageNames, Subsets, check_batch_size, check_memory, describe_split, select
from utils.data.sizes import fit_size
from utils.data.sources.readers import load_source
from utils.data.specs import dataset_spec
from utils.data.splits import check_counts, make_split
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline
from utils.transforms.spec import BackboneData, ViewSpec

LOADERS = {
    "pretrain": ("lab/test",),
    "all": ("lab/test", "unlab/test"),
    "discover": ("unlab/train", "unlab/test", "lab/test"),
}


class NCDDataModule(ImageDataModule):
    """Images of labelled and novel classes.

    Training batches are (list of views, labels); labels are 0..L-1 for images of labelled classes and -1 for all
    others, whose truth never gets there: in generalized discovery (``prop_train_labels``) some are of labelled classes.
    In the mode ``pretrain`` only images with labels are there.
    Evaluation batches are (one view, truth): 0..L-1 labelled, L..L+U-1 novel, -1 where nobody knows.

    Args:
        mode: ``pretrain``, ``all`` (the images of discovery, for methods that need no label) or ``discover``.
        dataset: a name of :data:`utils.data.specs.DATASETS`, or ``npz:<file>``.
        data_dir: folder with the data.
        batch_size: on each process; must not exceed the number of training images.
        num_labeled_classes, num_unlabeled_classes: L and U; U may be None: nobody knows it.
        num_large_crops, num_small_crops: views of each kind in a training batch.
        seed: decides on the order of the images and on their views.
        download: whether absent data may be fetched.
        eval_batch_size: of evaluation, on each process.
        num_workers: processes that decode files; arrays need none.
        labeled_classes: names of the labelled classes; None: the first L.
        imagenet_split: ``A``, ``B`` or ``C``.
        prop_train_labels: None: novel class discovery, in which the unlabelled images are all of novel classes. Else
            generalized discovery: the share of the labelled classes' training images that keep their label, as in
            :func:`utils.data.selection.select`.
        balanced: draw an epoch's images with replacement, so that half of them are labelled on average (as GCD and
            SimGCD are published).
        image_size: of the large views; None: the dataset's own.
        backbone: what a pretrained encoder expects of its images, which are then made for it: see
            :func:`utils.data.backbone_views.seen_by`; None: the dataset's own.

    Attributes (after ``setup()``):
        spec: the :class:`utils.data.specs.DatasetSpec`, with the image size filled in, as the backbone sees it.
        image_size: for which the dataset's laws are meant: that of the large views where there is no backbone.
        split: the :class:`utils.data.splits.ClassSplit`.
        class_names: names of the targets 0, 1, …, as far as they are known.
        train_images, test_images: (N, 3, H, W) uint8 tensor, moved to the training device with the first loader; for
            datasets that stay on disk the list of N paths.
        train_targets, test_targets: (N,) int64 arrays, the truth: for baselines and reports, not for training.
        train_labeled: (N,) bool, which training images have a label.
        train_names, test_names: the file of each image, or its position in the dataset's own arrays.
        contents: numbers of training and test images, and a checksum of them and their labels, by which a checkpoint
            knows them again: of files the names, of arrays the pixels as they were read. Not for evaluation alone.
        dataloader_mapping: index of an evaluation loader -> its name.

    Raises:
        UserError: for an unknown dataset or impossible class counts; from ``setup()`` for everything about the data.
    """

    def __init__(
        self,
        *,
        mode: str,
        dataset: str,
        data_dir: str | Path,
        batch_size: int,
        num_labeled_classes: int,
        num_unlabeled_classes: int | None,
        num_large_crops: int = 2,
        num_small_crops: int = 0,
        seed: int = 0,
        download: bool = False,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        labeled_classes: Sequence[str] | None = None,
        imagenet_split: str = "A",
        prop_train_labels: float | None = None,
        balanced: bool = False,
        image_size: int | None = None,
        backbone: BackboneData | None = None,
    ) -> None:
        super().__init__(SourceRequest(dataset, Path(data_dir).expanduser(), download, imagenet_split, image_size))
        self.spec = dataset_spec(dataset)
        check_counts(self.spec, num_labeled_classes, num_unlabeled_classes)
        self.mode = mode
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.num_labeled_classes, self.num_unlabeled_classes = num_labeled_classes, num_unlabeled_classes
        self.labeled_classes, self.prop_train_labels, self.backbone = labeled_classes, prop_train_labels, backbone
        self.balanced = balanced
        self.num_large_crops, self.num_small_crops = num_large_crops, num_small_crops
        self.dataloader_mapping = dict(enumerate(LOADERS[mode]))

    def setup(self, stage: str | None = None) -> None:
        """Read the data and split it, once.

        Raises:
            UserError: for data that are absent, damaged, or do not fit the settings.
        """
        if not self._ready:
            read = source = load_source(self.request)
            self.split = make_split(
                self.spec,
                source.class_names,
                source.closed,
                self.num_labeled_classes,
                self.num_unlabeled_classes,
                self.labeled_classes,
                trainable=None if source.closed else np.unique(source.train_labels[source.train_labels >= 0]).tolist(),
            )
            self.spec, source = fit_size(self.request.dataset, source, self.request.image_size)
            self.image_size = self.spec.image_size
            if self.backbone is not None:
                self.spec = seen_by(self.spec, self.backbone)
            self.in_memory = isinstance(source, ImageArrays)
            self.origin = source.origin
            self.class_names = self.split.names
            subsets = select(source, self.split, self.mode == "pretrain", self.prop_train_labels, self.seed)
            self.train_images, self.test_images = subsets.train_images, subsets.test_images
            self.train_targets, self.test_targets = subsets.train_targets, subsets.test_targets
            self.train_labeled = subsets.train_labeled
            self._keep(source, subsets)
            self.train_names = ImageNames("train", subsets.train_rows, source.train_paths)
            self.test_names = ImageNames("test", subsets.test_rows, source.test_paths)
            if stage != "validate":
                self.contents = _contents(read, subsets)
            self._ready = True
        self._check_batch_size()
        self._check_evaluated([len(self.evaluation_rows(name)[1]) for name in self.dataloader_mapping.values()])
        self._check_memory()

    def _keep(self, source: ImageArrays | ImageFiles, subsets: Subsets) -> None:
        """What a datamodule on top of this one needs of the source."""

    def describe(self) -> list[str]:
        """Lines for the start-up screen: source, counts and classes."""
        kept = "in memory" if self.in_memory else "on disk"
        side = self.spec.image_size
        return [
            f"data      {self.request.dataset}: {self.origin}; images {kept}, large views {side}x{side}",
            *describe_split(
                self.split,
                self.train_targets,
                self.train_labeled,
                self.test_targets,
                estimated=self.num_unlabeled_classes is None,
            ),
        ]

    def train_dataloader(self) -> ViewLoader | FileViewLoader:
        """The training batches of this process."""
        self._check_batch_size()
        views = self._views()
        pipeline = ViewPipeline(views, self.spec.mean, self.spec.std)
        labels = self.training_labels()
        common = {"batch_size": self.batch_size, "seed": self.seed, "epoch": self._current_epoch, **self._place()}
        common |= {"start": self._steps_done, "weights": self.image_weights()}
        if isinstance(self.train_images, Tensor):
            self.train_images = self.train_images.to(common["device"])
            return ViewLoader(self.train_images, torch.from_numpy(labels), pipeline, **common)
        half = self.num_labeled_classes if self._half_batches() else None
        return FileViewLoader(
            self.train_images, labels, pipeline, views, num_workers=self.num_workers, half_labeled=half, **common
        )

    def training_labels(self) -> np.ndarray:
        """The labels (N,) int64 that training may see: 0..L-1, and -1 for all unlabelled images."""
        return np.where(self.train_labeled, self.train_targets, -1)

    def image_weights(self) -> np.ndarray | None:
        """How often each training image (N,) is drawn, in proportion; None: all are shown once an epoch."""
        labeled = self.train_labeled
        return np.where(labeled, 1.0, labeled.sum() / max((~labeled).sum(), 1)) if self.balanced else None

    def val_dataloader(self) -> list[EvalLoader | FileEvalLoader]:
        """One loader for each name of ``dataloader_mapping``; empty where there are no such images."""
        return [self.evaluation_loader(name) for name in self.dataloader_mapping.values()]

    def evaluation_rows(self, name: str) -> tuple[str, np.ndarray]:
        """``train`` or ``test``, and the rows of the images there that :meth:`evaluation_loader` shows.

        Training images are ``lab`` when they have a label, test images when they are of a labelled class.
        """
        kind, part = name.split("/")
        labeled = self.train_labeled if part == "train" else self.split.is_labeled(self.test_targets)
        return part, np.flatnonzero({"lab": labeled, "unlab": ~labeled}[kind])

    def evaluation_loader(self, name: str, device: torch.device | str | None = None) -> EvalLoader | FileEvalLoader:
        """Images with truth, each once, in the order of ``train_images`` or ``test_images``.

        Args:
            name: ``lab/train``, ``lab/test``, ``unlab/train`` or ``unlab/test``.
            device: shows all images to this process, on this device; None: this process's share, on its own.
        """
        return self.image_loader(name, device)

    def image_loader(self, name: str, device: torch.device | str | None = None) -> EvalLoader | FileEvalLoader:
        """As :meth:`evaluation_loader`: the images themselves, also where features are served in their place."""
        part, rows = self.evaluation_rows(name)
        images, targets = getattr(self, f"{part}_images"), getattr(self, f"{part}_targets")
        pipeline = EvalPipeline(self.spec.evaluation, self.spec.mean, self.spec.std)
        common = {"batch_size": self.eval_batch_size, **self._place(device)}
        if isinstance(images, Tensor):
            images = images.to(common["device"])
            setattr(self, f"{part}_images", images)
            shown, truth = torch.from_numpy(rows), torch.from_numpy(targets[rows])
            return EvalLoader(images, truth, pipeline, rows=shown, **common)
        paths = [images[row] for row in rows]
        return FileEvalLoader(paths, targets[rows], pipeline, num_workers=self.num_workers, **common)

    def _views(self) -> list[ViewSpec]:
        """Laws of the views of an image."""
        return [self.spec.large] * self.num_large_crops + [self.spec.small] * self.num_small_crops

    def _half_batches(self) -> bool:
        return self.spec.half_batches and self.mode == "discover"

    def _check_memory(self) -> None:
        check_memory(self.batch_size, [view.size for view in self._views()])

    def _check_batch_size(self) -> None:
        world_size = self._place()["world_size"]
        check_batch_size(self.batch_size, world_size, len(self.train_targets), self._half_batches())


def _contents(source: ImageArrays | ImageFiles, subsets: Subsets) -> dict[str, int]:
    def images(part: str, rows: np.ndarray) -> np.ndarray | list[str]:
        paths = getattr(source, f"{part}_paths")
        return getattr(source, f"{part}_images")[rows] if paths is None else [paths[row] for row in rows]

    train, test = images("train", subsets.train_rows), images("test", subsets.test_rows)
    crc = checksum(train, subsets.train_targets, test, subsets.test_targets)
    return {"training": len(train), "test": len(test), "crc32": crc}
