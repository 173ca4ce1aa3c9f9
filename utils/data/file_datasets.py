"""What the workers do: decode a file and cut its crops, uint8. Letters: N images, B batch, V views."""

import os
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from utils.data.images import read_image, to_square
from utils.data.randomness import Stream, stream_seed
from utils.errors import UserError
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import worker_crops
from utils.transforms.spec import ViewSpec

Item = tuple[list[Tensor], int] | UserError
Batch = tuple[list[Tensor], Tensor] | str


class ViewFiles(Dataset):
    """(epoch, position, index) -> the V crops of an image, (3, h, w) uint8, and its label.

    Args:
        paths: N image files.
        labels: (N,) int64.
        views: laws of the views, of which the crops are applied here.
        seed: of the run.
        stream: what the crops are for.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: np.ndarray,
        views: Sequence[ViewSpec],
        seed: int,
        stream: Stream = Stream.CROPS,
    ) -> None:
        self.paths, self.labels = _pack(paths), labels
        self.views, self.seed, self.stream = views, seed, stream

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: tuple[int, int, int]) -> Item:
        epoch, position, index = key
        generator = torch.Generator().manual_seed(stream_seed(self.stream, self.seed, epoch, position))
        try:
            image = read_image(os.fsdecode(self.paths[index]))
        except UserError as error:
            return error
        return worker_crops(image, self.views, generator), int(self.labels[index])


class EvalFiles(Dataset):
    """index -> the one view of an image before normalisation, (3, s, s) uint8, and its label.

    Args:
        paths: N image files.
        labels: (N,) int64.
        pipeline: of evaluation.
        square: whether the centre is cut out where the law of evaluation would squeeze a whole image into a square,
            as it is of the arrays that discovery trains on.
    """

    def __init__(self, paths: Sequence[str], labels: np.ndarray, pipeline: EvalPipeline, square: bool = True) -> None:
        self.paths, self.labels, self.square = _pack(paths), labels, square
        self.pipeline = deepcopy(pipeline)  # the other one's constants move to the device; workers know none

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        try:
            image = read_image(os.fsdecode(self.paths[index]))
        except UserError as error:
            return error
        spec = self.pipeline.spec
        if self.square and spec.resize is None:
            image = Image.fromarray(to_square(image, spec.size, spec.interpolation))
        return [self.pipeline.worker_view(image)], int(self.labels[index])


def collate(items: Sequence[Item]) -> Batch:
    """V tensors (B, 3, h, w) uint8 and labels (B,) int64; or the message about the first damaged file.

    A raised error would leave the worker with its traceback for a message.
    """
    good = [item for item in items if not isinstance(item, UserError)]
    if len(good) < len(items):
        return next(str(item) for item in items if isinstance(item, UserError))
    views, labels = zip(*good, strict=True)
    return [torch.stack(view) for view in zip(*views, strict=True)], torch.tensor(labels)


def unpack(batch: Batch, device: torch.device) -> tuple[list[Tensor], Tensor]:
    """A collated batch on the device.

    Raises:
        UserError: for a file that the worker could not decode.
    """
    if isinstance(batch, str):
        raise UserError(batch)
    views, labels = batch
    return [view.to(device, non_blocking=True) for view in views], labels.to(device, non_blocking=True)


def _pack(paths: Sequence[str]) -> np.ndarray:
    """Paths as one array of bytes: workers share it, where a list's reference counts would copy it page by page."""
    return np.array([os.fsencode(path) for path in paths], np.bytes_)
