"""Features of a frozen encoder: extracted once, kept on disk, served in the place of images.

Views are made (and files decoded) by a thread ahead of the encoder, which so has little to wait for. Memory does not
grow with the number of images: what is extracted goes to disk chunk by chunk.

Letters: N images, B images of a block, V views, D features.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from utils.cli.shared_flags import PRECISIONS
from utils.data.dead_workers import told_of_dead_workers
from utils.data.features.blocks import BLOCK, digest_of, evaluation_blocks, view_blocks
from utils.data.features.datamodule import VIEWS, FeatureDataModule
from utils.data.features.store import FeatureRequest, FeatureStore
from utils.errors import UserError
from utils.inference.ahead import made_ahead
from utils.training.freed_memory import keep_freed_memory
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline

LAW = 1  # part of the key; counts up when what an image's views or features are changes in the code
CHUNK = 8  # blocks that are written at a time: what a kill can cost
AHEAD = 2  # blocks of views that wait for the encoder
SECONDS_BETWEEN_LINES = 60.0
AUTOCAST = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}  # in any other precision: float32

Blocks = Callable[[int], Iterator[list[Tensor]]]  # from the first block on


def say(text: str) -> None:
    """Print a line at once, on whatever process extracts."""
    print(text, flush=True)


def serve_features(
    datamodule: FeatureDataModule,
    encoder: nn.Module,
    settings: Mapping[str, Any],
    device: torch.device,
    training: bool = True,
) -> None:
    """Give a datamodule the features of its images: those on disk, else they are extracted first.

    Args:
        datamodule: set up.
        encoder: from normalised images (B, 3, s, s) to features (B, ``num_features``); in evaluation mode from here on.
        settings: the flags ``feature_cache``, ``feature_seed``, ``num_workers``, ``precision``, ``dataset``,
            ``backbone`` and ``arch``.
        device: of the encoder.
        training: whether the views of training are needed, beside those of evaluation.

    Raises:
        UserError: for everything about the disk and the images.
    """
    if device.type == "cpu":
        keep_freed_memory()
    store = FeatureStore(settings["feature_cache"], say)
    extraction = Extraction(encoder, device, settings["precision"])
    spec, workers = datamodule.spec, settings["num_workers"]
    encoder_about = {
        "encoder": settings["backbone"] or settings["arch"],
        "weights": weights_digest(encoder),
        "precision": "32-true" if extraction.dtype is None else PRECISIONS[settings["precision"]],
    }
    digests = {part: digest_of(images) for part, images in datamodule.sources.items()}
    features = {}
    for name in (VIEWS, "train", "test") if training and datamodule.feature_views else ("train", "test"):
        part = "train" if name == VIEWS else name
        images, count = datamodule.sources[part], len(datamodule.sources[part])
        about: dict[str, Any] = {"law": LAW, "images": digests[part], "number of images": count, **encoder_about}
        about |= {"mean": list(spec.mean), "std": list(spec.std)}
        shape: tuple[int, ...] = (count, encoder.num_features)  # type: ignore[assignment]
        if name == VIEWS:
            views, seed = datamodule.feature_views, settings["feature_seed"]
            about |= {"view": repr(spec.large), "views": views, "seed": seed, "block": BLOCK}
            shape = (count, views, encoder.num_features)  # type: ignore[assignment]
            drawn = ViewPipeline([spec.large] * views, spec.mean, spec.std)
            blocks: Blocks = partial(view_blocks, images, drawn, seed, device, workers)
        else:
            about |= {"view": repr(spec.evaluation)}
            pipeline = EvalPipeline(spec.evaluation, spec.mean, spec.std)
            blocks = partial(evaluation_blocks, images, pipeline, device, workers)
        label = f"{settings['dataset'].split(':')[0]}-{encoder_about['encoder']}-{spec.image_size}-{name}"
        request = FeatureRequest(label.replace("/", "_"), about, shape)
        features[name] = store.get(request, partial(extraction.chunks, request, blocks))
        if digest_of(images) != digests[part]:
            raise UserError(f"the {part} images have changed while their features were extracted; start again")
    datamodule.serve(features)


class Extraction:
    """An encoder that goes over blocks of views.

    Args:
        encoder: from (B, 3, s, s) to (B, D).
        device: of the encoder.
        precision: value of ``--precision``.
        progress: whether to show it.
    """

    def __init__(self, encoder: nn.Module, device: torch.device, precision: str = "32", progress: bool = True) -> None:
        self.encoder, self.device, self.progress = encoder, device, progress
        self.dtype = AUTOCAST.get(PRECISIONS[precision])

    def chunks(self, request: FeatureRequest, blocks: Blocks, row: int) -> Iterator[np.ndarray]:
        """Features of the rows from ``row`` on, (rows, V, D) or (rows, D) float16, a chunk of blocks at a time.

        Raises:
            UserError: for an interruption from the keyboard, which tells that the same command goes on.
        """
        total, done, started = request.shape[0], row, time.monotonic()
        home = next(self.encoder.parameters()).device
        encoder = self.encoder.eval().to(self.device)
        if self.progress:
            say(f"features  {request.name}: {total:,} images" + (f", going on at {row:,}" if row else ""))
        terminal = self.progress and sys.stderr.isatty()
        try:
            with told_of_dead_workers(), tqdm(total=total, initial=row, unit="image", disable=not terminal) as bar:
                said, parts = started, []
                for features in self.features(encoder, blocks(row // BLOCK)):
                    parts.append(features.reshape(-1, *request.shape[1:]))
                    rows = sum(map(len, parts))
                    if len(parts) == CHUNK or done + rows == total:
                        yield torch.cat(parts).half().cpu().numpy()
                        done, parts = done + rows, []
                        bar.update(rows)
                        if not terminal and self.progress and time.monotonic() - said > SECONDS_BETWEEN_LINES:
                            said = time.monotonic()
                            left = (said - started) / (done - row) * (total - done)
                            say(f"features  {done:,} of {total:,} images, {timedelta(seconds=round(left))} left")
        except KeyboardInterrupt:
            raise UserError(
                f"interrupted: the features of {done:,} of {total:,} images are kept; the same command goes on there"
            ) from None
        finally:
            self.encoder.to(home)
        seconds = time.monotonic() - started
        if self.progress:
            say(f"features  {done - row:,} images in {seconds:,.1f} seconds ({(done - row) / seconds:,.1f} images/s)")

    def features(self, encoder: nn.Module, blocks: Iterator[list[Tensor]]) -> Iterator[Tensor]:
        """(B, V, D) of each block."""
        for views in made_ahead(blocks, AHEAD, self.device.type == "cpu"):
            yield self._encoded(encoder, views)

    @torch.inference_mode()
    def _encoded(self, encoder: nn.Module, views: list[Tensor]) -> Tensor:
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            if self.device.type == "cpu":  # a view at a time stays in the caches
                return torch.stack([encoder(view) for view in views], dim=1)
            return encoder(torch.cat(views)).unflatten(0, (len(views), -1)).transpose(0, 1)


def weights_digest(encoder: nn.Module) -> str:
    """SHA-256 of all weights and statistics, by name, whatever device and precision they are kept in."""
    sha256 = hashlib.sha256()
    for name, value in encoder.state_dict().items():
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        sha256.update(f"{name} {tuple(value.shape)}\n".encode())
        sha256.update(value.contiguous().numpy().tobytes())
    return sha256.hexdigest()
