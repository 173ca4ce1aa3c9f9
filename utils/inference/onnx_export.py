"""A discovery network as an ONNX file, from pixels to probabilities, for programs that know nothing of PyTorch."""

import contextlib
import copy
import importlib.util
import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.errors import UserError, unlogged
from utils.evaluation.predictions import output_names
from utils.files import write_whole
from utils.inference.predict_folder import evaluation_pipeline
from utils.methods.discoverer import Discoverer
from utils.methods.gcd_discoverer import GCDDiscoverer

OPSET = 18


class PixelsToProbabilities(nn.Module):
    """The network of a discovery checkpoint, its normalisation before it, the best head's softmax after it.

    Args:
        discoverer: its network is copied, of the heads only the best one.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, discoverer: Discoverer | GCDDiscoverer) -> None:
        super().__init__()
        pipeline = evaluation_pipeline(discoverer.hparams)
        self.size, self.temperature = pipeline.spec.size, discoverer.hparams["temperature"]
        self.register_buffer("scale", pipeline.normalize.scale)
        self.register_buffer("shift", pipeline.normalize.shift)
        self.model: Any = copy.deepcopy(discoverer.model).cpu().keep_head(int(discoverer.best_head))
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (B, 3, size, size) -> probabilities (B, L+U) and the encoder's features (B, D), float32."""
        outputs = self.model(images.float() * self.scale + self.shift)
        logits = torch.cat([outputs["logits_lab"], outputs["logits_unlab"][0]], dim=-1)
        return F.softmax(logits / self.temperature, dim=-1), outputs["feats"]


def export_onnx(discoverer: Discoverer | GCDDiscoverer, path: Path) -> None:
    """Write the network: input ``images`` uint8 (batch, 3, size, size), outputs ``probabilities`` and ``features``.

    The batch is dynamic. The metadata hold ``classes`` (a JSON list of the outputs' names) and ``image_size``.

    Raises:
        UserError: where the packages that write ONNX are not installed, and for a method with predictions of its own.
    """
    if isinstance(discoverer, Discoverer) and type(discoverer).predictions is not Discoverer.predictions:
        raise UserError(f"--export does not know the predictions of {discoverer.hparams['baseline']}; leave it away")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--export needs the package {' and '.join(missing)}: pip install {' '.join(missing)}")
    network = PixelsToProbabilities(discoverer)
    example = torch.zeros(2, 3, network.size, network.size, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=["probabilities", "features"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # as dynamo=True promises
    proto = program.model_proto
    metadata = {"classes": json.dumps(output_names(discoverer.hparams)), "image_size": str(network.size)}
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    write_whole(path, lambda file: file.write(proto.SerializeToString()))


@contextlib.contextmanager
def _quiet():
    """Without the exporter's own chatter."""
    with unlogged(), warnings.catch_warnings(), open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        warnings.simplefilter("ignore")
        yield
