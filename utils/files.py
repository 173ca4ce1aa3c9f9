"""Files that appear whole or not at all, and loading that cannot run code."""

import csv
import io
import json
import math
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from utils.errors import UserError


def write_whole(path: str | Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write beside the file, flush to disk, then rename over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))


def csv_text(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table as comma-separated values."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: str | Path, numbers: Mapping[str, Any]) -> None:
    """One flat JSON object; a number that is not finite becomes null."""
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}
    write_text(path, json.dumps(clean, indent=2) + "\n")


def save_torch(path: str | Path, value: Any) -> None:
    """``torch.save``, whole or not at all."""
    write_whole(path, lambda file: torch.save(value, file))


def save_weights(path: str | Path, network: torch.nn.Module) -> None:
    """The bare ``state_dict`` of a network, on the CPU, whole or not at all."""
    save_torch(path, {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()})


def load_torch(path: str | Path) -> Any:
    """``torch.load`` on the CPU of tensors and plain values only.

    Raises:
        UserError: when the file is absent, damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; the checkpoint's file is needed") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} is damaged or is not a checkpoint of tensors ({reason[:100]})") from None


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints through :func:`save_torch` and :func:`load_torch`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        save_torch(path, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_torch(path)
