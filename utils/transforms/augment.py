"""What happens to a batch of views after the crop. Legend: N views, h x w view."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from utils.transforms import color, functional
from utils.transforms.draw import FinishParams
from utils.transforms.spec import ViewSpec

DRAWN_ALONE = ("cpu",)  # devices that compute an operation for the views for which it was drawn, and not for all


def augment(crops: Tensor, spec: ViewSpec, params: FinishParams) -> Tensor:
    """Rotation, colour jitter, solarization, equalization, grey and blur, in this order, as far as they were drawn.

    Args:
        crops: (N, 3, h, w) float32 in [0, 255]; overwritten.
        spec: gives what was not drawn, the blur's kernel size.
        params: of the N views.

    Returns:
        (N, 3, h, w) float32 in [0, 255].
    """
    if params.angle is not None:
        crops = functional.rotate(crops, params.angle)
    if params.factors is not None and params.order is not None:
        jitter = (params.factors, params.hue, params.order)
        crops = _where_drawn(color.color_jitter, _jittered(params.factors, params.hue), crops, *jitter)
        if crops.device.type in DRAWN_ALONE:  # the jitter does it: a rotation can leave 255.00002
            crops.clamp_(0, 255)
    if params.threshold is not None or params.equalize is not None:
        crops = crops.round()  # PIL's 8 bits: from here on thresholds and histograms are exact
    if params.threshold is not None:
        crops = _where_drawn(color.solarize, params.threshold < 256, crops, params.threshold)
    if params.equalize is not None:
        crops = _where_drawn(color.equalize, params.equalize, crops, params.equalize)
    if params.grayscale is not None:
        crops = _where_drawn(color.grayscale, params.grayscale, crops, params.grayscale)
    if params.sigma is not None and spec.blur is not None:
        blur = partial(functional.gaussian_blur, kernel_size=spec.blur.kernel_size)
        crops = _where_drawn(blur, params.sigma > 0, crops, params.sigma)
    return crops


def _jittered(factors: Tensor, hue: Tensor | None) -> Tensor:
    """(N,) bool: whether the jitter changes the view."""
    changed = (factors != 1).any(1)
    return changed if hue is None else changed | (hue != 0)


def _where_drawn(operation: Callable[..., Tensor], drawn: Tensor, images: Tensor, *params: Tensor | None) -> Tensor:
    """``operation(images, *params)``, which leaves the images that were not ``drawn`` (N,) exactly as they are.

    On a CPU it is computed for the drawn images alone, most often few. Elsewhere a number of images that depends on
    what was drawn would wait for the device.
    """
    if images.device.type not in DRAWN_ALONE:
        return operation(images, *params)
    index = drawn.nonzero().squeeze(1)
    if len(index) in (0, len(images)):
        return operation(images, *params) if len(index) else images
    chosen = operation(images[index], *(None if param is None else param[index] for param in params))
    return images.index_copy_(0, index, chosen)


class Normalizer:
    """Pixels in [0, 255] to ``(pixel / 255 - mean) / std``, in channels-last memory.

    Args:
        mean, std: of the three channels, for pixels in [0, 1].
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.scale = torch.tensor([1 / (255 * s) for s in std])[:, None, None]
        self.shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])[:, None, None]

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """(N, 3, h, w) in [0, 255] -> (N, 3, h, w) float32, in the memory of ``out`` where that is given."""
        if self.scale.device != images.device:  # once: copying constants would wait for the device
            self.scale, self.shift = self.scale.to(images.device), self.shift.to(images.device)
        normalized = torch.addcmul(self.shift, images, self.scale)
        return normalized.contiguous(memory_format=torch.channels_last) if out is None else out.copy_(normalized)


def check_images(images: Tensor) -> None:
    """Raise a ValueError unless ``images`` are uint8 (B, 3, H, W)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected uint8 images (B, 3, H, W), got {images.dtype} of shape {tuple(images.shape)}")
