"""Pretrained encoders: any model of timm, its features pooled, all of it, its last block or nothing trained.

N images, D features.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from utils.errors import UserError, first_line
from utils.nets.backbone_names import architecture, known_config
from utils.nets.backbone_weights import load_weights
from utils.nets.last_block import last_block
from utils.transforms.spec import BICUBIC, BILINEAR, BackboneData

FROZEN, LAST_BLOCK, ALL = "frozen", "last_block", "all"  # values of --train


class Backbone(nn.Module):
    """A timm model without its classifier, under the interface of :class:`~utils.nets.encoder.Encoder`.

    Args:
        model: gives pooled features (N, D).
        name: value of ``--backbone``, for messages.
        data: what the model expects of its images.

    Attributes:
        num_features: D.
        fixed: the parts that are never trained, in evaluation mode whatever ``train()`` says.

    Raises:
        UserError: for a model whose features are not pooled, or that takes no images of ``data.size``.
    """

    def __init__(self, model: nn.Module, name: str, data: BackboneData) -> None:
        super().__init__()
        self.model, self.name, self.data = model, name, data
        self.num_features = _num_features(model, name, data.size)
        self.trained: list[nn.Module] = [model]

    def fix(self, train: str) -> "Backbone":
        """Fix all but what ``train`` says: ``frozen``, ``last_block`` or ``all``.

        Raises:
            UserError: for a model of which nobody says what its last block is.
        """
        self.trained = {FROZEN: list, ALL: lambda: [self.model], LAST_BLOCK: lambda: last_block(self.model, self.name)}[
            train
        ]()
        self.model.requires_grad_(False)
        for module in self.trained:
            module.requires_grad_(True)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for the parts that are trained: BatchNorm and dropout of fixed ones stay in evaluation mode."""
        super().train(False)
        self.training = mode
        for module in self.trained:
            module.train(mode)
        return self

    def forward(self, images: Tensor, num_views: int = 1) -> Tensor:
        """Features (N, D) of images (N, 3, h, w), view after view; BatchNorm statistics are those of one view."""
        if num_views > 1 and self._learns_statistics():
            return torch.cat([self.model(view) for view in images.chunk(num_views)])
        return self.model(images)

    def _learns_statistics(self) -> bool:
        return any(isinstance(module, _BatchNorm) and module.training for module in self.model.modules())


def build_backbone(name: str, weights: str | None, size: int | None, **options: Any) -> Backbone:
    """A backbone with its weights, all of it trainable.

    Args:
        name: a model of timm, with or without the tag of its weights, or ``lite0``.
        weights: ``pretrained`` (those of the name), the path of a file, or ``none`` or None (random).
        size: of the images, in pixels; None: that of the pretrained weights.
        **options: of the model's constructor, for networks of other depth or width than the name's.

    Raises:
        UserError: for a name that timm does not know, weights that are not there or do not fit, a size that the model
            does not take, or features that are not pooled.
    """
    import timm

    data = backbone_data(name, size)

    def create(**source: Any) -> nn.Module:
        return timm.create_model(architecture(name), **source, **options)

    try:
        if data.fixed_size:
            options = {"img_size": data.size, **options}
            # Before weights are fetched; not all versions of timm can build all models without memory.
            with contextlib.suppress(RuntimeError, NotImplementedError), torch.device("meta"):
                _check_patches(create(num_classes=0), name, data.size)
        model = load_weights(name, weights, create)
        if data.fixed_size:
            _check_patches(model, name, data.size)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"--backbone {name} cannot be built for images of {data.size} pixels ({first_line(error)[:200]})"
        ) from error
    return Backbone(model, name, data)


def backbone_data(name: str, size: int | None = None) -> BackboneData:
    """What a backbone expects of its images, without building it.

    Raises:
        UserError: for a name that timm does not know, with the nearest ones.
    """
    from timm.data import resolve_data_config

    config = known_config(name)
    found = resolve_data_config({"img_size": size}, config)
    return BackboneData(
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        size=found["input_size"][-1],
        interpolation=BILINEAR if found["interpolation"] == BILINEAR else BICUBIC,
        fixed_size=bool(config.get("fixed_input_size")),
    )


def _check_patches(model: nn.Module, name: str, size: int) -> None:
    """Refuse a size that the patches of a transformer do not fill.

    Raises:
        UserError: naming the nearest sizes.
    """
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is None:
        return
    side = max(patch) if isinstance(patch, tuple) else int(patch)
    if size % side:
        below = size // side * side
        near = f"{below} or {below + side}" if below else str(side)
        raise UserError(f"--backbone_size {size} is no multiple of {side}, the patch of {name}; take {near}")


@torch.no_grad()
def _num_features(model: nn.Module, name: str, size: int) -> int:
    """D, found by looking: what models say of themselves is not always what they give.

    Raises:
        UserError: for a model that takes no such image, or whose features are not pooled.
    """
    try:
        found = model.eval()(torch.zeros(1, 3, size, size))
    except Exception as error:  # models fail in many ways
        raise UserError(
            f"--backbone {name} takes no images of {size} pixels ({first_line(error)[:200]}); see --backbone_size"
        ) from error
    if not isinstance(found, Tensor) or found.ndim != 2:
        form = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise UserError(
            f"--backbone {name} gives no pooled features (N, D) but {form}; choose a model for classification"
        )
    return found.shape[1]
