"""Images in blocks of a fixed size, as the views whose features are extracted.

The views of an image depend on (seed, its place among all images) alone: a block draws from a generator of its own,
and a file's crop too. So it does not matter where an extraction was interrupted, nor how many workers decode.

Letters: B images of a block, V views.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from utils.data.file_datasets import EvalFiles, ViewFiles, collate, unpack
from utils.data.file_loaders import decoded
from utils.data.randomness import Stream, stream_seed
from utils.data.selection import to_tensor
from utils.data.workers import usable_workers
from utils.errors import UserError
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline

BLOCK = 64
PREFETCHED = 2  # blocks that each worker keeps ready

SourceImages = np.ndarray | list[str]  # (N, H, W, 3) uint8, or N paths


def digest_of(images: SourceImages) -> str:
    """SHA-256 of what the images are: of arrays the pixels, of files their names, sizes and times of change.

    Raises:
        UserError: for a file that is not there any more.
    """
    sha256 = hashlib.sha256()
    if isinstance(images, np.ndarray):
        sha256.update(f"{images.shape}".encode())
        sha256.update(np.ascontiguousarray(images).data)
        return sha256.hexdigest()
    root = os.path.commonpath([os.path.dirname(path) for path in images]) if images else ""
    for path in images:
        try:
            state = os.stat(path)
        except OSError as error:
            raise UserError(f"the image {path} cannot be read ({error.strerror}); start again") from None
        sha256.update(os.fsencode(os.path.relpath(path, root)) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return sha256.hexdigest()


def view_blocks(
    images: SourceImages, pipeline: ViewPipeline, seed: int, device: torch.device, num_workers: int, first: int = 0
) -> Iterator[list[Tensor]]:
    """For each block from ``first`` on its V random views, normalised, on the device.

    Raises:
        UserError: for a file that cannot be decoded, naming it.
    """
    generator = torch.Generator(device=device)
    if isinstance(images, np.ndarray):
        for block, part in _array_blocks(images, first, device):
            yield pipeline(part, generator.manual_seed(stream_seed(Stream.FEATURES, seed, block)))
        return
    files = ViewFiles(images, np.zeros(len(images), np.int64), pipeline.views, seed, Stream.FEATURES)
    keys = _Keys(len(images), first)
    loader: DataLoader = DataLoader(files, batch_sampler=keys, collate_fn=collate, **_workers(num_workers, len(keys)))
    for block, batch in enumerate(decoded(loader), first):
        crops, _ = unpack(batch, device)
        yield pipeline.finish(crops, generator.manual_seed(stream_seed(Stream.FEATURES, seed, block)))


def evaluation_blocks(
    images: SourceImages, pipeline: EvalPipeline, device: torch.device, num_workers: int, first: int = 0
) -> Iterator[list[Tensor]]:
    """For each block from ``first`` on the one view of evaluation.

    Raises:
        UserError: for a file that cannot be decoded, naming it.
    """
    if isinstance(images, np.ndarray):
        for _, part in _array_blocks(images, first, device):
            yield [pipeline(part)]
        return
    files = EvalFiles(images, np.zeros(len(images), np.int64), pipeline)
    rows = range(first * BLOCK, len(images))
    loader: DataLoader = DataLoader(
        files, BLOCK, sampler=rows, collate_fn=collate, **_workers(num_workers, -(-len(rows) // BLOCK))
    )
    for batch in decoded(loader):
        (views,), _ = unpack(batch, device)
        yield [pipeline.finish(views)]


def _array_blocks(images: np.ndarray, first: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    for block in range(first, -(-len(images) // BLOCK)):
        yield block, to_tensor(images[block * BLOCK : (block + 1) * BLOCK]).to(device)


def _workers(num_workers: int, blocks: int) -> dict[str, Any]:
    num_workers = usable_workers(num_workers, blocks)
    return {"num_workers": num_workers, "prefetch_factor": PREFETCHED if num_workers else None}


class _Keys(Sampler):
    """The keys of ``ViewFiles`` for each block: an image's place is its position."""

    def __init__(self, num_images: int, first: int) -> None:
        self.num_images, self.first = num_images, first

    def __len__(self) -> int:
        return -(-self.num_images // BLOCK) - self.first

    def __iter__(self) -> Iterator[Sequence[tuple[int, int, int]]]:
        for start in range(self.first * BLOCK, self.num_images, BLOCK):
            yield [(0, index, index) for index in range(start, min(start + BLOCK, self.num_images))]
