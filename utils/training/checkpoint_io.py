"""How Lightning's checkpoints are written and read: whole, with a digest, the last two kept."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from utils.torch_files import load_torch, save_torch

PREVIOUS = "previous.ckpt"  # the checkpoint before last.ckpt


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints through :func:`save_torch` and :func:`load_torch`; the last two are kept."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        save_torch(path, checkpoint, previous=Path(path).with_name(PREVIOUS))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_torch(path)
