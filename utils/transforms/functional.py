"""Spatial operations on batches of images, each image with parameters of its own.

Legend: B batch, H x W image, h x w view. Images are float32 (B, 3, H, W) on the 8-bit scale [0, 255]: integers stay
exact, the blends of :mod:`utils.transforms.color` need no other scale, and rounding to what PIL stores is ``round``.
Crop, resize, flip and blur are separable and linear, so each is one matrix for every image and axis: two batched
products do all of it without a loop over images, and without a shape that depends on what was drawn.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.transforms.spec import BICUBIC, BILINEAR


def _triangle(near: Tensor) -> Tensor:
    """The filter of bilinear interpolation at minus the distances ``near``, in place."""
    return near.add_(1).clamp_(min=0)


def _cubic(near: Tensor) -> Tensor:
    """PIL's filter of bicubic interpolation (Keys, 1981, with a = -1/2) at minus the distances ``near``, in place."""
    distance = near.neg_().clamp_(max=2)
    inside = ((1.5 * distance - 2.5) * distance).mul_(distance).add_(1)
    outside = ((-0.5 * distance + 2.5) * distance - 4).mul_(distance).add_(2)
    return torch.where(distance < 1, inside, outside)


FILTERS = {BILINEAR: _triangle, BICUBIC: _cubic}


def resized_crop_weights(
    start: Tensor,
    length: Tensor,
    in_size: int,
    out_size: int,
    flip: Tensor | None = None,
    interpolation: str = BILINEAR,
) -> Tensor:
    """Matrices that cut ``[start, start + length)`` out of an axis and resize it to ``out_size`` pixels.

    Antialiased interpolation as in PIL and torchvision: a filter as wide as max(scale, 1), over the pixels inside the
    box only, each row summing to one. A row without a pixel in the image is zero, so a box of
    length ``out_size`` that reaches over the border is a crop from the zero-padded image, and exact.

    Args:
        start: (B,) first pixel of the box; it may lie outside of the image.
        length: (B,) positive number of pixels of the box.
        in_size, out_size: pixels of the axis before and after.
        flip: (B,) bool, where to reverse the result; None: nowhere.
        interpolation: a key of ``FILTERS``.

    Returns:
        (B, out_size, in_size) float32 weights.
    """
    start, length = start.float()[:, None, None], length.float()[:, None, None]
    rows = torch.arange(out_size, device=start.device, dtype=torch.float32)[:, None] + 0.5  # (out, 1)
    if flip is not None:
        rows = torch.where(flip[:, None, None], out_size - rows, rows)  # (B, out, 1)
    pixels = torch.arange(in_size, device=start.device, dtype=torch.float32) + 0.5  # (in,)
    scale = length / out_size
    weights = (start + rows * scale) - pixels  # (B, out, in)
    weights = FILTERS[interpolation](weights.abs_().div_(-scale.clamp(min=1)))
    weights.mul_((pixels > start) & (pixels < start + length))
    return weights.div_(weights.sum(-1, keepdim=True).clamp_(min=1e-6))


def resized_crop(
    images: Tensor, box: Tensor, size: int, flip: Tensor | None = None, interpolation: str = BILINEAR
) -> Tensor:
    """Cut each image's box, resize it to ``size`` x ``size`` and flip it from left to right.

    Equals torchvision's ``resized_crop(..., antialias=True)``, and a crop with zero padding where the box has the
    view's size. Bicubic interpolation overshoots at edges; its result is clamped to the scale, as in 8 bits, for the
    operations on colours hold on the scale alone.

    Args:
        images: (B, 3, H, W) float32 in [0, 255].
        box: (B, 4) top, left, height and width in pixels.
        size: height and width of the result.
        flip: (B,) bool; None: no image is flipped.
        interpolation: a key of ``FILTERS``.

    Returns:
        (B, 3, size, size) float32 in [0, 255].
    """
    height, width = images.shape[-2:]
    if height == width:  # both axes in one go: every kernel costs a GPU's host
        starts, lengths = box.reshape(-1, 2, 2).permute(1, 2, 0).flatten(1)  # (2B,) each, rows then columns
        flips = None if flip is None else torch.cat((torch.zeros_like(flip), flip))
        rows, columns = resized_crop_weights(starts, lengths, height, size, flips, interpolation).chunk(2)
    else:
        top, left, box_height, box_width = box.unbind(1)
        rows = resized_crop_weights(top, box_height, height, size, None, interpolation)  # (B, h, H)
        columns = resized_crop_weights(left, box_width, width, size, flip, interpolation)  # (B, w, W)
    return separable(images, rows, columns, overshoots=interpolation == BICUBIC)


def separable(images: Tensor, rows: Tensor, columns: Tensor, overshoots: bool = False) -> Tensor:
    """``rows @ image @ columns.T`` for each image and channel.

    Args:
        images: (B, 3, H, W) float32.
        rows, columns: (B, h, H) and (B, w, W) float32, or with a leading 1 for the same matrix everywhere.
        overshoots: whether weights are negative, so that each product is clamped to [0, 255], as in 8 bits.

    Returns:
        (B, 3, h, w) float32.
    """
    batch, channels, height, width = images.shape
    flat = images.reshape(batch, channels * height, width)
    images = torch.matmul(flat, columns.mT).view(batch, channels, height, -1)  # (B, 3, H, w)
    if not overshoots:
        return torch.matmul(rows[:, None], images)
    return torch.matmul(rows[:, None], images.clamp_(0, 255)).clamp_(0, 255)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Turn each image about its centre, bilinear, with zeros outside; torchvision's ``rotate`` on tensors.

    Args:
        images: (B, 3, H, W) float32.
        angle: (B,) degrees, counter-clockwise.

    Returns:
        (B, 3, H, W) float32.
    """
    height, width = images.shape[-2:]
    cos, sin = torch.deg2rad(angle).cos(), torch.deg2rad(angle).sin()
    zero = torch.zeros_like(cos)
    # affine_grid's coordinates run from -1 to 1 on both axes, hence the aspect ratio.
    top = torch.stack((cos, -sin * height / width, zero), dim=1)
    bottom = torch.stack((sin * width / height, cos, zero), dim=1)
    grid = F.affine_grid(torch.stack((top, bottom), dim=1), list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def quarter_turns(images: Tensor) -> Tensor:
    """Images turned by 0, 90, 180 and 270 degrees, counter-clockwise.

    Args:
        images: (B, 3, H, H).

    Returns:
        (4B, 3, H, H): all images by 0, then all by 90, and so on.
    """
    return torch.cat([torch.rot90(images, turns, dims=(2, 3)) for turns in range(4)])


def blur_weights(sigma: Tensor, size: int, kernel_size: int) -> Tensor:
    """Matrices of the Gaussian blur of an axis with reflected borders.

    Args:
        sigma: (B,) positive standard deviations in pixels.
        size: pixels of the axis; more than ``kernel_size // 2``, so that the border can be reflected.
        kernel_size: odd number of taps.

    Returns:
        (B, size, size) float32 weights.

    Raises:
        ValueError: if the axis is too short or the kernel even.
    """
    radius = kernel_size // 2
    if kernel_size % 2 == 0 or radius >= size:
        raise ValueError(f"a blur of {size} pixels needs an odd kernel size of at most {2 * size - 1}: {kernel_size}")
    offsets = torch.arange(-radius, radius + 1, device=sigma.device)  # (taps,)
    taps = torch.softmax(-0.5 * (offsets / sigma[:, None]).square(), dim=1)  # (B, taps)
    pixels = torch.arange(size, device=sigma.device)
    source = (size - 1) - (size - 1 - (pixels[:, None] + offsets).abs()).abs()  # (out, taps)
    lands = source.T[:, :, None] == pixels  # (taps, out, in): which pixel a tap reads
    return torch.matmul(taps, lands.float().flatten(1)).view(-1, size, size)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur each image with its own sigma; torchvision's ``gaussian_blur``.

    Args:
        images: (B, 3, H, W) float32.
        sigma: (B,) standard deviation in pixels; images with 0 are left as they are.
        kernel_size: odd number of taps, the same for all images.

    Returns:
        (B, 3, H, W) float32.

    Raises:
        ValueError: if the image is too small for the kernel.
    """
    height, width = images.shape[-2:]
    safe = sigma.clamp(min=1e-3)
    columns = blur_weights(safe, width, kernel_size)
    rows = columns if height == width else blur_weights(safe, height, kernel_size)
    return torch.where((sigma > 0)[:, None, None, None], separable(images, rows, columns), images)
