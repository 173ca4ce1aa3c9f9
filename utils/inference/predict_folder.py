"""A discovery checkpoint applied to images: the table of predictions, contact sheets, a sorted copy."""

import contextlib
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from utils.data.backbone_views import seen_by
from utils.data.images import thumbnail
from utils.data.prediction_images import ForeignLoader
from utils.data.specs import dataset_spec
from utils.errors import UserError
from utils.evaluation.predictions import Predictions, predict
from utils.files import csv_text, fitting_name, write_text, write_whole
from utils.methods.discoverer import Discoverer
from utils.methods.gcd_discoverer import GCDDiscoverer
from utils.report.attempts import Attempts
from utils.report.sheets import (
    COLUMNS,
    NEAR_KNOWN,
    SIDE,
    Tile,
    contact_sheet,
    counted,
    nearest_to_known,
    save_sheet,
    typical_and_doubtful,
)
from utils.targets import NETWORK, require_different, require_folder, require_target, table_with
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.spec import BackboneData

COLUMN_NAMES = (
    *("image", "prediction", "probability", "margin", "distance", "cluster"),
    *("nearest known class", "its probability"),
)
ERROR_COLUMNS = ("image", "reason")


def evaluation_pipeline(hparams) -> EvalPipeline:
    """The view of evaluation that a checkpoint's network was trained for."""
    spec = dataset_spec(hparams["dataset"], hparams["image_size"])
    if hparams["backbone_data"]:
        spec = seen_by(spec, BackboneData(**hparams["backbone_data"]))
    return EvalPipeline(spec.evaluation, spec.mean, spec.std)


def apply(
    discoverer: Discoverer | GCDDiscoverer,
    paths: Sequence[str],
    device: torch.device,
    batch_size: int,
    num_workers: int,
    progress: bool = True,
) -> tuple[Predictions | None, dict[int, str]]:
    """What a model says about image files of any size.

    Returns:
        predictions, whose ``labels`` are positions in ``paths`` (None where no file can be read), and position ->
        reason of the files that cannot be read.
    """
    loader = ForeignLoader(paths, evaluation_pipeline(discoverer.hparams), batch_size, num_workers)
    with tqdm(total=len(paths), unit="image", disable=not progress or not sys.stderr.isatty()) as bar:

        def shown():
            for images, rows in loader:
                yield images, rows
                bar.update(int(rows[-1]) + 1 - bar.n)

        predictions = predict(discoverer.to(device), shown(), keep_features=False)
    return predictions, loader.errors


def predictions_csv(predictions: Predictions | None, paths: Sequence[str], names: Sequence[str]) -> str:
    """The table of the predictions, one row an image."""
    rows: list[Iterable] = []
    if predictions is not None:
        numbers = (predictions.probability, predictions.margin, predictions.distance, predictions.known_probability)
        rows = [
            (paths[row], names[output], *(f"{value:.4f}" for value in values), cluster, names[known], f"{near:.4f}")
            for row, output, cluster, known, *values, near in zip(
                predictions.labels, predictions.output, predictions.cluster, predictions.known, *numbers, strict=True
            )
        ]
    return csv_text(COLUMN_NAMES, rows)


def errors_path(out: str | Path) -> Path:
    """The table of the files that cannot be read, beside that of the predictions."""
    return Path(out).with_name(f"{Path(out).stem}.errors.csv")


def require_targets(args: Namespace) -> None:
    """Refuse outputs that cannot be written, or that would replace what is not this program's, before any work.

    Raises:
        UserError: saying which and what to do.
    """
    require_different(out=args.out, export=args.export, checkpoint=args.checkpoint)
    kept = {"force": args.force, "read": args.checkpoint}
    if args.export:
        require_target("export", args.export, NETWORK, **kept)
    if args.images:
        require_target("out", args.out, table_with(*COLUMN_NAMES), **kept)
        require_target("out", errors_path(args.out), table_with(*ERROR_COLUMNS), **kept)
    for flag in ("sheets", "copy_into"):
        if getattr(args, flag):
            require_new_folder(flag, getattr(args, flag), args.images)
            require_folder(flag, getattr(args, flag))


def require_new_folder(flag: str, folder: str, images: str) -> None:
    """Refuse a folder that holds something already, or that lies among the images.

    Raises:
        UserError: saying what to do.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"--{flag} {folder} is there already and not an empty folder; choose a new one")
    if Path(images).resolve() in (path.resolve(), *path.resolve().parents):
        raise UserError(
            f"--{flag} {folder} lies in --images {images}, where it would be read as images; choose another"
        )


def write_sheets(
    predictions: Predictions, paths: Sequence[str], names: Sequence[str], folder: Path, num_labeled: int
) -> dict[str, str]:
    """``<folder>/<class>.png`` for each class that was predicted: its most typical and most doubtful images.

    Those of a novel class show the images that are nearest to a known class too.

    Returns:
        name of a sheet that failed -> the reason.
    """
    attempt = Attempts()

    def write(output: int) -> None:
        rows = np.flatnonzero(predictions.output == output)
        typical, doubtful = typical_and_doubtful(predictions.distance, predictions.margin, rows, 3 * COLUMNS)
        chosen = {"most typical": typical, "most doubtful": doubtful}
        if output >= num_labeled:
            chosen[NEAR_KNOWN] = nearest_to_known(predictions.known_probability, rows, COLUMNS)
        groups = [
            (heading, [_tile(paths[predictions.labels[row]], predictions.probability[row]) for row in part])
            for heading, part in chosen.items()
            if len(part)
        ]
        page = contact_sheet(f"{names[output]}: {counted(len(rows))}", groups)
        save_sheet(page, folder / f"{names[output]}.png")

    for output in np.unique(predictions.output).tolist():
        attempt(f"the sheet of {names[output]}", partial(write, output), None)
    return attempt.failed


def _tile(path: str, probability: float) -> Tile:
    return Tile(thumbnail(path, SIDE), f"{probability:.2f}", name=os.path.basename(path))


def copy_sorted(
    predictions: Predictions, paths: Sequence[str], names: Sequence[str], folder: Path
) -> tuple[int, dict[str, str]]:
    """Every image below ``<folder>/<class>/``, a hard link where the file system can, else a copy.

    Two files of one name and class keep both: the second becomes ``<name>-2``. Nothing is moved or deleted.

    Returns:
        how many had to be copied, and name of a copy that failed -> the reason.
    """
    copied, attempt = 0, Attempts()
    for row, output in zip(predictions.labels, predictions.output, strict=True):
        place = partial(_placed, Path(paths[row]), folder / names[output])
        copied += attempt(f"the copy of {paths[row]}", place, False)
    return copied, attempt.failed


def _placed(path: Path, folder: Path) -> bool:
    """Put an image into a folder, whole or not at all; whether it had to be copied."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = path.resolve(), _free(folder / path.name)  # a link to an image becomes the image
    try:
        os.link(source, target)
        return False
    except OSError:  # another disk, or a file system without links
        with open(source, "rb") as image:
            write_whole(target, partial(shutil.copyfileobj, image))
        with contextlib.suppress(OSError):  # a file system that keeps neither modes nor times
            shutil.copystat(source, target)
        return True


def _free(wanted: Path) -> Path:
    """The path, or the first of ``<name>-2``, ``<name>-3`` … that is not there, cut to the length of a name."""
    target, turn = wanted, 2
    while os.path.lexists(target):
        target = wanted.with_name(fitting_name(wanted.stem, f"-{turn}{wanted.suffix}"))
        turn += 1
    return target


def write_errors(errors: dict[int, str], paths: Sequence[str], path: Path) -> None:
    """The files that could not be read and why; without any, no such file is left."""
    if errors:
        write_text(path, csv_text(ERROR_COLUMNS, [(paths[row], errors[row]) for row in sorted(errors)]))
    else:
        path.unlink(missing_ok=True)
