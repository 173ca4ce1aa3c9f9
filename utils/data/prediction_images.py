"""Images that a model has not seen, from any folder: what cannot be read is noted, and the others go on."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from utils.data.file_datasets import EvalFiles
from utils.data.file_loaders import decoded
from utils.data.images import SUFFIXES, PassedOver, list_images, passed_over_text
from utils.data.workers import usable_workers
from utils.errors import UserError, first_line
from utils.files import special_kind
from utils.transforms.eval_pipeline import EvalPipeline


def find_images(path: str, passed_over: PassedOver | None = None) -> list[str]:
    """The image files below a folder, to any depth and sorted, or the one file that is given.

    ``passed_over`` as in :func:`utils.data.images.list_images`.

    Raises:
        UserError: when there is nothing of that name, or no image in it.
    """
    if os.path.isfile(path):
        return [path]
    if kind := special_kind(path):
        raise UserError(f"--images {path} is a {kind}; give a folder of images, or one image file")
    if not os.path.isdir(path):
        raise UserError(f"--images {path}: there is no such folder")
    passed_over = {} if passed_over is None else passed_over
    paths = list_images(path, passed_over)
    if not paths:
        why = f" ({passed_over_text(passed_over)})" if passed_over else ""
        raise UserError(f"--images {path}: no image in this folder{why}; known are {' '.join(sorted(SUFFIXES))}")
    return paths


class TolerantFiles(EvalFiles):
    """index -> (index, view or the reason why the file cannot be read)."""

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:  # type: ignore[override]
        item = super().__getitem__(index)
        if isinstance(item, UserError):
            return index, first_line(item.__cause__ or item)
        return index, item[0][0]


class ForeignLoader:
    """Batches of normalised images with their positions in ``paths`` in the place of labels.

    Args:
        paths: image files.
        pipeline: the view of evaluation.
        batch_size: images read at a time; a batch lacks those that cannot be read.
        num_workers: processes that decode.

    Attributes:
        errors: position -> reason, of the files met so far that cannot be read.
    """

    def __init__(self, paths: Sequence[str], pipeline: EvalPipeline, batch_size: int, num_workers: int = 0) -> None:
        self.pipeline = pipeline
        self.errors: dict[int, str] = {}
        files = TolerantFiles(paths, np.zeros(len(paths), np.int64), pipeline)
        self._loader: DataLoader = DataLoader(
            files,
            batch_size=batch_size,
            collate_fn=list,
            num_workers=usable_workers(num_workers, -(-len(paths) // batch_size)),
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for items in decoded(self._loader):
            self.errors |= {index: view for index, view in items if isinstance(view, str)}
            good = [(index, view) for index, view in items if not isinstance(view, str)]
            if good:
                rows, views = zip(*good, strict=True)
                yield self.pipeline.finish(torch.stack(views)), torch.tensor(rows)
