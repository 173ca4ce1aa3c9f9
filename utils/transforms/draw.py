"""Draws of the parameters of views: every image and view its own, all from one explicit generator.

Legend: B batch. The parameters live on the generator's device, and nothing here depends on a drawn value but through
tensors, so drawing never waits for the device.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Generator, Tensor

from utils.transforms.spec import Jitter, PadCrop, ResizedCrop, ViewSpec

ATTEMPTS = 10  # of RandomResizedCrop before it falls back to the centre


@dataclass(frozen=True)
class CropParams:
    """Where each view is cut.

    Args:
        box: (B, 4) float32 top, left, height and width in pixels; a padded crop may reach over the border.
        flip: (B,) bool.
    """

    box: Tensor
    flip: Tensor


@dataclass(frozen=True)
class FinishParams:
    """What happens to each view after the crop; None where the specification has no such operation.

    Args:
        angle: (B,) degrees, counter-clockwise.
        factors: (B, 3) of brightness, contrast and saturation; 1 where the jitter is not applied.
        hue: (B,) turns; 0 where it is not applied.
        order: (B, 4) int64, or (B, 3) without hue: the jitter's order, see :func:`utils.transforms.color.color_jitter`.
        threshold: (B,) of the solarization; 256 where it is not applied.
        equalize: (B,) bool.
        grayscale: (B,) bool.
        sigma: (B,) of the blur in pixels; 0 where it is not applied.
    """

    angle: Tensor | None = None
    factors: Tensor | None = None
    hue: Tensor | None = None
    order: Tensor | None = None
    threshold: Tensor | None = None
    equalize: Tensor | None = None
    grayscale: Tensor | None = None
    sigma: Tensor | None = None


@dataclass(frozen=True)
class ViewParams:
    """All parameters of one view of each image of a batch."""

    crop: CropParams
    finish: FinishParams


Params = TypeVar("Params", CropParams, FinishParams)


def rows(params: Params, start: int, stop: int) -> Params:
    """The parameters of the views from ``start`` to ``stop``."""
    drawn = {field.name: getattr(params, field.name) for field in fields(params)}
    return replace(params, **{name: value[start:stop] for name, value in drawn.items() if value is not None})


def draw_view(spec: ViewSpec, batch: int, height: int, width: int, generator: Generator) -> ViewParams:
    """Draw the parameters of one view for each of ``batch`` images of ``height`` x ``width`` pixels.

    Raises:
        ValueError: if the images are too small for a padded crop of the view's size.
    """
    return ViewParams(draw_crop(spec, batch, height, width, generator), draw_finish(spec, batch, generator))


def draw_crop(spec: ViewSpec, batch: int, height: int, width: int, generator: Generator) -> CropParams:
    """Draw boxes and flips; workers use it alone, with a batch of one, for the image they decode.

    Raises:
        ValueError: if the images are too small for a padded crop of the view's size.
    """
    boxes = [
        _draw_pad_box(crop, crop.size or spec.size, batch, height, width, generator)
        if isinstance(crop, PadCrop)
        else _draw_resized_box(crop, batch, height, width, generator)
        for crop in spec.crops
    ]
    box = boxes[0]
    if len(boxes) > 1:
        kind = torch.randint(len(boxes), (batch,), generator=generator, device=generator.device)
        box = torch.stack(boxes, dim=1).gather(1, kind[:, None, None].expand(-1, 1, 4)).squeeze(1)
    return CropParams(box, _draw_applied(spec.flip, batch, generator))


def draw_finish(spec: ViewSpec, batch: int, generator: Generator) -> FinishParams:
    """Draw the parameters of what comes after the crop."""
    angle = threshold = equalize = grayscale = sigma = factors = hue = order = None
    if spec.rotation:
        angle = _uniform((batch,), -spec.rotation, spec.rotation, generator)
    if spec.jitter is not None and spec.jitter.p:
        factors, hue, order = _draw_jitter(spec.jitter, batch, generator)
    if spec.solarize:
        skipped = _draw_skipped(spec.solarize, batch, generator)
        threshold = _uniform((batch,), 0, 256, generator).masked_fill_(skipped, 256)
    if spec.equalize:
        equalize = _draw_applied(spec.equalize, batch, generator)
    if spec.grayscale:
        grayscale = _draw_applied(spec.grayscale, batch, generator)
    if spec.blur is not None and spec.blur.p:
        skipped = _draw_skipped(spec.blur.p, batch, generator)
        sigma = _uniform((batch,), *spec.blur.sigma, generator).masked_fill_(skipped, 0)
    return FinishParams(angle, factors, hue, order, threshold, equalize, grayscale, sigma)


def _draw_jitter(jitter: Jitter, batch: int, generator: Generator) -> tuple[Tensor, Tensor | None, Tensor]:
    """Factors (B, 3), hue (B,) or None, and order (B, 4 or 3), as torchvision's ``ColorJitter`` draws them."""
    skipped = _draw_skipped(jitter.p, batch, generator)
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation)
    drawn = [_uniform((batch,), max(0.0, 1 - strength), 1 + strength, generator) for strength in strengths]
    factors = torch.stack(drawn, dim=1).masked_fill_(skipped[:, None], 1)
    hue = _uniform((batch,), -jitter.hue, jitter.hue, generator).masked_fill_(skipped, 0) if jitter.hue else None
    order = _uniform((batch, 3 if hue is None else 4), 0, 1, generator).argsort(dim=1)
    return factors, hue, order


def _draw_pad_box(crop: PadCrop, size: int, batch: int, height: int, width: int, generator: Generator) -> Tensor:
    """Boxes (B, 4) with sides of ``size`` pixels, uniform in the padded image."""
    if min(height, width) + 2 * crop.padding < size:
        raise ValueError(f"a {size} pixel crop does not fit into {height} x {width} pixels padded by {crop.padding}")
    length = torch.full((batch,), float(size), device=generator.device)
    top = _offset(height + 2 * crop.padding - length, generator) - crop.padding
    left = _offset(width + 2 * crop.padding - length, generator) - crop.padding
    return torch.stack((top, left, length, length), dim=1)


def _draw_resized_box(crop: ResizedCrop, batch: int, height: int, width: int, generator: Generator) -> Tensor:
    """Boxes (B, 4) as torchvision's ``RandomResizedCrop.get_params`` draws them: the first attempt that fits."""
    low, high = crop.ratio
    area = _uniform((batch, ATTEMPTS), *crop.scale, generator) * (height * width)
    ratio = _uniform((batch, ATTEMPTS), math.log(low), math.log(high), generator).exp_()
    widths, heights = (area * ratio).sqrt_().round_(), (area / ratio).sqrt_().round_()  # (B, attempts)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = (fits * torch.arange(ATTEMPTS, 0, -1, device=fits.device)).argmax(1, keepdim=True)
    box_height, box_width = heights.gather(1, first).squeeze(1), widths.gather(1, first).squeeze(1)
    top, left = _offset(height - box_height, generator), _offset(width - box_width, generator)
    box = torch.stack((top, left, box_height, box_width), dim=1)

    # No attempt fits: the largest central box whose ratio is allowed.
    central_width, central_height = min(width, round(height * high)), min(height, round(width / low))
    central = ((height - central_height) // 2, (width - central_width) // 2, central_height, central_width)
    none_fits = ~fits.any(1)
    for column, value in zip(box.unbind(1), central, strict=True):
        column.masked_fill_(none_fits, float(value))
    return box


def _offset(room: Tensor, generator: Generator) -> Tensor:
    """Integers uniform in [0, room], for each non-negative integer of ``room`` (B,), as float32."""
    return _uniform(tuple(room.shape), 0, 1, generator).mul_(room + 1).floor_()


def _draw_applied(p: float, batch: int, generator: Generator) -> Tensor:
    """(B,) bool, true with probability ``p``."""
    return _uniform((batch,), 0, 1, generator) < p


def _draw_skipped(p: float, batch: int, generator: Generator) -> Tensor:
    """(B,) bool, false with probability ``p``: what :func:`_draw_applied` would draw, the other way round."""
    return _uniform((batch,), 0, 1, generator) >= p


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Uniform float32 in [low, high)."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    if high - low != 1:  # every kernel costs a GPU's host
        drawn.mul_(high - low)
    return drawn.add_(low) if low else drawn
