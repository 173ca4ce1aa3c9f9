"""The network of contrastive disentangling: ResNet -> instance projector -> feature predictor.

V views, B samples a view, D backbone features, P projected dimensions, K features. Names in the ``state_dict`` are the
published ones; BatchNorm statistics are those of one view, as when every view is passed on its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.losses.precision import full
from utils.nets.batch_norm import HeadBatchNorm1d, group_batch_norm
from utils.nets.encoder import ARCHITECTURES, Encoder
from utils.nets.pretrained_weights import load_state, require_fit
from utils.torch_files import load_torch


class DisentanglingNet(nn.Module):
    """Backbone, instance projector and feature predictor.

    Args:
        backbone: an architecture such as ``ResNet34``, whatever its case.
        hidden_dim: P.
        feature_num: K; None leaves the feature predictor out, which makes the network SimCLR's.
        low_res: the stem for images of about 32 pixels.
        width: channels of the backbone's first stage (64 in the published networks).
    """

    def __init__(
        self,
        backbone: str = "ResNet34",
        hidden_dim: int = 128,
        feature_num: int | None = 128,
        low_res: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__()
        if backbone.lower() not in ARCHITECTURES:
            known = ", ".join(name.replace("resnet", "ResNet") for name in ARCHITECTURES)
            raise UserError(f"unknown --backbone '{backbone}'; known are {known}")
        self.resnet = Encoder(backbone.lower(), low_res, width)
        features = self.resnet.num_features
        self.instance_projector = nn.Sequential(
            nn.Linear(features, features, bias=False),
            HeadBatchNorm1d(features),
            nn.ReLU(),
            nn.Linear(features, hidden_dim),
        )
        self.feature_predictor = None
        if feature_num is not None:
            self.feature_predictor = nn.Sequential(
                nn.Linear(hidden_dim, features, bias=False),
                HeadBatchNorm1d(features),
                nn.ReLU(),
                nn.Linear(features, feature_num, bias=False),
                HeadBatchNorm1d(feature_num),
            )
        self.to(memory_format=torch.channels_last)

    @property
    def encoder(self) -> Encoder:
        """The backbone, by the name that it has in the other networks."""
        return self.resnet

    @property
    def last_layer(self) -> str:
        """Which output is the network's last: ``features``, or SimCLR's ``projections``."""
        return "projections" if self.feature_predictor is None else "features"

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """All outputs.

        Args:
            views: V images (B, 3, h, w) of one size, or one such tensor.

        Returns:
            ``feats`` (V, B, D) of the backbone, ``projections`` (V, B, P), not normalised, and ``features`` (V, B, K)
            in [0, 1], float32 at least; without the leading V for one tensor.
        """
        if isinstance(views, Tensor):
            return {name: value[0] for name, value in self.forward([views]).items()}
        feats = self.resnet(torch.cat(list(views)), len(views)).unflatten(0, (len(views), -1))
        outputs = {"feats": feats, "projections": _by_view(self.instance_projector, feats)}
        if self.feature_predictor is not None:
            logits = _by_view(self.feature_predictor, outputs["projections"])
            outputs["features"] = torch.sigmoid(full(logits))
        return outputs


def _by_view(layers: nn.Sequential, x: Tensor) -> Tensor:
    """A projector applied to (V, B, D), with BatchNorm statistics of each view."""
    for layer in layers:
        x = group_batch_norm(x[None], [layer])[0] if isinstance(layer, HeadBatchNorm1d) else layer(x)
    return x


def load_net(path: str | Path) -> DisentanglingNet:
    """The network of a model file, ours or a published one; its shape is read off the weights.

    Raises:
        UserError: when the file is absent or damaged, or is no model of contrastive disentangling or SimCLR.
    """
    what = f"--model {path}"
    state = load_state(path, what, "train.py writes models/<dataset>/model_epoch_N.pth")
    net = DisentanglingNet(**_shape_of(path, state))
    require_fit(what, state, net.state_dict())
    net.load_state_dict(state)
    return net


def is_disentangling(path: str | Path) -> bool:
    """Whether a file of weights is a model of contrastive disentangling or SimCLR, and not one of ``main_pretrain.py``.

    Raises:
        UserError: when the file is absent or damaged.
    """
    state = load_torch(path)
    return isinstance(state, Mapping) and any(str(name).startswith("instance_projector.") for name in state)


def _shape_of(path: str | Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of :class:`DisentanglingNet` that give a ``state_dict`` like this one."""
    names = ("resnet.conv1.weight", "instance_projector.3.weight")
    for name in names:
        if name not in state:
            raise UserError(f"--model {path} has no {name}: it is no model of contrastive disentangling or SimCLR")
    stem, projection = (state[name] for name in names)
    features = state.get("feature_predictor.3.weight")
    bottleneck = "resnet.layer1.0.conv3.weight" in state
    blocks = [len({name.split(".")[2] for name in state if name.startswith(f"resnet.layer{i}.")}) for i in range(1, 5)]
    for arch, (block, layers) in ARCHITECTURES.items():
        if layers == blocks and (block.expansion == 4) == bottleneck:
            return {
                "backbone": arch,
                "hidden_dim": len(projection),
                "feature_num": None if features is None else len(features),
                "low_res": stem.shape[-1] == 3,
                "width": len(stem),
            }
    raise UserError(f"--model {path} has stages of {blocks} blocks, which is none of {', '.join(ARCHITECTURES)}")
