"""What happens to a batch of views after the crop. Legend: N views, h x w view."""

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.transforms import color, functional
from utils.transforms.draw import FinishParams
from utils.transforms.spec import ViewSpec


def augment(crops: Tensor, spec: ViewSpec, params: FinishParams) -> Tensor:
    """Rotation, colour jitter, solarization, equalization, grey and blur, in this order, as far as they were drawn.

    Args:
        crops: (N, 3, h, w) float32 in [0, 255].
        spec: gives what was not drawn, the blur's kernel size.
        params: of the N views.

    Returns:
        (N, 3, h, w) float32 in [0, 255].
    """
    if params.angle is not None:
        crops = functional.rotate(crops, params.angle)
    if params.factors is not None and params.order is not None:
        crops = color.color_jitter(crops, params.factors, params.hue, params.order)
    if params.threshold is not None or params.equalize is not None:
        crops = crops.round()  # PIL's 8 bits: from here on thresholds and histograms are exact
    if params.threshold is not None:
        crops = color.solarize(crops, params.threshold)
    if params.equalize is not None:
        crops = color.equalize(crops, params.equalize)
    if params.grayscale is not None:
        crops = color.grayscale(crops, params.grayscale)
    if params.sigma is not None and spec.blur is not None:
        crops = functional.gaussian_blur(crops, params.sigma, spec.blur.kernel_size)
    return crops


class Normalizer:
    """Pixels in [0, 255] to ``(pixel / 255 - mean) / std``, in channels-last memory.

    Args:
        mean, std: of the three channels, for pixels in [0, 1].
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.scale = torch.tensor([1 / (255 * s) for s in std])[:, None, None]
        self.shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, h, w) in [0, 255] -> (N, 3, h, w) float32."""
        if self.scale.device != images.device:  # once: copying constants would wait for the device
            self.scale, self.shift = self.scale.to(images.device), self.shift.to(images.device)
        normalized = torch.addcmul(self.shift, images, self.scale)
        return normalized.contiguous(memory_format=torch.channels_last)


def check_images(images: Tensor) -> None:
    """Raise a ValueError unless ``images`` are uint8 (B, 3, H, W)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected uint8 images (B, 3, H, W), got {images.dtype} of shape {tuple(images.shape)}")
