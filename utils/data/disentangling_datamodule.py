"""The datamodule of contrastive disentangling: all images without their labels, two views each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.data.checksum import checksum
from utils.data.containers import ImageArrays, ImageFiles, SourceRequest
from utils.data.file_loaders import FileEvalLoader, FileViewLoader
from utils.data.image_datamodule import ImageDataModule
from utils.data.images import read_image
from utils.data.loaders import EvalLoader, ViewLoader
from utils.data.randomness import Stream, stream_seed
from utils.data.selection import Images, check_batch_size, check_memory, named_classes, to_tensor
from utils.data.sources.readers import load_source
from utils.data.specs import dataset_spec
from utils.errors import UserError
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline
from utils.transforms.spec import EvalSpec

MEAN, STD = (0.0,) * 3, (1.0,) * 3  # the published views are not normalised


class ContrastiveDataModule(ImageDataModule):
    """Training and test images of a dataset together, as published: nothing is learned from labels.

    Training batches are (two views, -1 for every image). Evaluation batches are (one view, truth) of the same images
    without augmentation; the truth is -1 where nobody knows.

    Args:
        dataset: a name of :data:`utils.data.specs.DATASETS`, ``npz:<file>``, or a name in ``own_datasets``.
        data_dir: folder with the data.
        batch_size: on each process.
        image_size: of the views and of evaluation, in pixels.
        s: strength of the colour jitter.
        blur: whether half of the views are blurred.
        own_datasets: name -> a folder with images, or ``npz:<file>``.
        use_unlabeled: train on STL-10's images without labels too.
        fine_labels: the 100 classes of CIFAR-100.
        share: of the images that are evaluated, in (0, 1]; which ones depends on the seed alone.
        seed: decides on the order of the images, on their views and on that share.
        download, eval_batch_size, num_workers: as in :class:`utils.data.discovery_datamodule.NCDDataModule`.

    Attributes (after ``setup()``):
        images: (N, 3, H, W) uint8, or N paths; those of evaluation come first.
        paths: of the files of the first M images; empty where they have none.
        targets: (M,) int64, the truth of the first M images, those of evaluation.
        num_train: how many of these are the dataset's training images; they come first.
        rows: (R,) int64, the positions of the images that are evaluated, in order.
        class_names: by target.
        contents: number of images, and a checksum of them, by which a checkpoint knows them again; nothing is learned
            from labels, and they may change. Not for evaluation alone.

    Raises:
        UserError: for an unknown dataset; from ``setup()`` for everything about the data.
    """

    def __init__(
        self,
        *,
        dataset: str,
        data_dir: str | Path,
        batch_size: int,
        image_size: int,
        s: float = 1.0,
        blur: bool = False,
        own_datasets: Mapping[str, str] | None = None,
        use_unlabeled: bool = False,
        fine_labels: bool = False,
        share: float = 1.0,
        seed: int = 0,
        download: bool = False,
        eval_batch_size: int = 512,
        num_workers: int = 0,
    ) -> None:
        name = dataset
        place = (own_datasets or {}).get(dataset)
        if place is not None:
            dataset, data_dir = (place, data_dir) if place.startswith("npz:") else ("folder", place)
        spec = dataset_spec(dataset)
        super().__init__(
            SourceRequest(
                dataset,
                Path(data_dir).expanduser(),
                download,
                image_size=image_size,
                fine_labels=fine_labels,
                use_unlabeled=use_unlabeled,
                needs_classes=False,
                place_flag="data_dir" if place is None else "customize_datasets",
            )
        )
        self.dataset = name
        self.spec = replace(
            spec,
            mean=MEAN,
            std=STD,
            image_size=image_size,
            large=spec.contrastive(image_size, s, blur),
            evaluation=EvalSpec(image_size),
        )
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed, self.share = num_workers, seed, share

    def setup(self, stage: str | None = None) -> None:
        """Read the data, once.

        Raises:
            UserError: for data that are absent or damaged, and, but for evaluation alone, fewer than a batch.
        """
        if not self._ready:
            source = load_source(self.request)
            self.images = _all_images(source)
            self.paths = [*(source.train_paths or ()), *(source.test_paths or ())]
            self.targets = np.concatenate([source.train_labels, source.test_labels])
            self.num_train = len(source.train_labels)
            self.class_names, self.origin = source.class_names, source.origin
            self.rows = self._evaluated()
            if stage != "validate":
                crc = checksum(self.paths or np.asarray(self.images))
                self.contents = {"training": len(self.images), "crc32": crc}
            self._ready = True
        if stage != "validate":
            check_batch_size(self.batch_size, self._place()["world_size"], len(self.images), half_batches=False)
            self._check_evaluated([len(self.rows)])
            check_memory(self.batch_size, [self.spec.large.size] * 2)

    def describe(self) -> list[str]:
        """Lines for the start-up screen."""
        kept = "in memory" if isinstance(self.images, Tensor) else "on disk"
        side, known = self.spec.image_size, np.unique(self.targets[self.targets >= 0])
        names = named_classes([self.class_names[label] for label in known])
        return [
            f"data      {self.dataset}: {self.origin}; images {kept}, views {side}x{side}",
            f"images    {len(self.images):,} for training, {len(self.rows):,} of them evaluated",
            f"classes   {f'{len(known)} ({names}), for evaluation alone' if names else 'unknown'}",
        ]

    def train_dataloader(self) -> ViewLoader | FileViewLoader:
        """The training batches of this process; no label gets there."""
        views = [self.spec.large] * 2
        pipeline = ViewPipeline(views, self.spec.mean, self.spec.std)
        hidden = np.full(len(self.images), -1, np.int64)
        common = {"batch_size": self.batch_size, "seed": self.seed, "epoch": self._current_epoch, **self._place()}
        common["start"] = self._steps_done
        if isinstance(self.images, Tensor):
            self.images = self.images.to(common["device"])
            return ViewLoader(self.images, torch.from_numpy(hidden), pipeline, **common)
        return FileViewLoader(self.images, hidden, pipeline, views, num_workers=self.num_workers, **common)

    def val_dataloader(self) -> EvalLoader | FileEvalLoader:
        """The images at ``rows`` with their truth, each once, in order."""
        pipeline = EvalPipeline(self.spec.evaluation, self.spec.mean, self.spec.std)
        common = {"batch_size": self.eval_batch_size, **self._place()}
        truth = self.targets[self.rows]
        if isinstance(self.images, Tensor):
            self.images = self.images.to(common["device"])
            rows = torch.from_numpy(self.rows)
            return EvalLoader(self.images, torch.from_numpy(truth), pipeline, rows=rows, **common)
        paths = [self.images[row] for row in self.rows]
        return FileEvalLoader(paths, truth, pipeline, square=False, num_workers=self.num_workers, **common)

    def views_of(self, positions: Sequence[int]) -> Tensor:
        """The views of evaluation of some images, by their positions among ``rows``: (B, 3, h, w) float32."""
        rows = self.rows[list(positions)]
        pipeline = EvalPipeline(self.spec.evaluation, self.spec.mean, self.spec.std)
        if isinstance(self.images, Tensor):
            return pipeline(self.images[torch.from_numpy(rows).to(self.images.device)])
        views = [pipeline.worker_view(read_image(self.images[row])) for row in rows]
        return pipeline.finish(torch.stack(views)) if views else torch.zeros(0, 3, 1, 1)

    def _evaluated(self) -> np.ndarray:
        """Positions of the images that are evaluated."""
        count = max(1, round(self.share * len(self.targets)))
        order = np.random.default_rng(stream_seed(Stream.EVALUATION, self.seed)).permutation(len(self.targets))
        return np.sort(order[:count])


def _all_images(source: ImageArrays | ImageFiles) -> Images:
    """Training, test and extra images together.

    Raises:
        UserError: for arrays of different sizes.
    """
    if isinstance(source, ImageFiles):
        return [*source.train_paths, *source.test_paths]
    if len(source.test_images) and source.train_images.shape[1:] != source.test_images.shape[1:]:
        sizes = (source.train_images.shape[1:3], source.test_images.shape[1:3])
        raise UserError(f"training and test images among the {source.origin} have different sizes, {sizes}")
    parts = (source.train_images, source.test_images, source.extra_images)
    return torch.cat([to_tensor(part) for part in parts if part is not None and len(part)])
