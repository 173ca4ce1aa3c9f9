"""Colour operations on batches of images, each image with parameters of its own.

Legend: B batch, h x w view. Images are float32 (B, 3, h, w) on the 8-bit scale [0, 255]. Neutral parameters (factor 1,
hue 0, threshold 256, False) leave an image exactly as it is, so that "with probability p" is a matter of what was
drawn and never of a shape. Choices between images are ``lerp`` with weights 0 and 1, which is exact, vectorised on the
CPU and several times as fast there as ``where``.
"""

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # in ColorJitter's order
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


def luma(images: Tensor) -> Tensor:
    """Brightness of the pixels, (B, 3, h, w) -> (B, h, w)."""
    red, green, blue = images.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def per_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return values[:, None, None, None]


def blend_(images: Tensor, other_share: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Brightness, contrast or saturation of each image, in place: ``(1 - other_share) * image + other_share * other``.

    The other image is the grey version for saturation, its mean for contrast and black for brightness.

    Args:
        images: (B, 3, h, w) in [0, 255]; changed, and clamped to that.
        other_share: (B,) 1 - factor, at most 1; 0 changes nothing.
        contrast, saturation: (B,), one where the operation is this one and zero elsewhere; brightness where both are
            zero.
    """
    other = luma(images)[:, None]  # (B, 1, h, w)
    mean = other.mean((2, 3), keepdim=True)
    other.mul_(per_image(saturation)).add_(mean.mul_(per_image(contrast)))
    return images.lerp_(other, per_image(other_share)).clamp_(0, 255)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue; value and chroma of the HSV hexagon stay.

    With h the hue in sixths of a turn, a channel is ``value - chroma * clamp(d - 1, 0, 1)`` where d is the distance of
    h to the channel's own hue (0, 2, 4), so HSV is left again without its six cases.

    Args:
        images: (B, 3, h, w) in [0, 255].
        shift: (B,) in [-0.5, 0.5] turns; images with 0 are left as they are.

    Returns:
        (B, 3, h, w) in [0, 255].
    """
    red, green, blue = images.unbind(1)  # each (B, h, w)
    value = torch.maximum(red, green).clamp_(min=blue)
    chroma = value - torch.minimum(red, green).clamp_(max=blue)
    # chroma * h: where red is the largest, green is, blue is; h lies in [-1, 5].
    hue = (blue - red).add_(chroma, alpha=2).lerp_((red - green).add_(chroma, alpha=4), (value - green).sign_())
    hue = (green - blue).lerp_(hue, (value - red).sign_())
    hue.div_(chroma.clamp(min=1e-4)).add_(per_image(6 * shift)[:, 0])
    hue.sub_((hue + 1).mul_(1 / 6).floor_(), alpha=6)  # back into [-1, 5)
    # On [-1, 5) the distances to 0, 2, 4 are 3 - |h - 3|, |h - 2| and 3 - |h - 1|, where they matter (1 to 2).
    centres = torch.arange(3, 0, -1, device=images.device, dtype=images.dtype)[:, None, None]
    distance = (hue[:, None] - centres).abs_()  # (B, 3, h, w)
    distance[:, 1].neg_().add_(3)
    turned = distance.clamp_(1, 2).mul_(chroma[:, None]).add_(value.sub_(chroma, alpha=2)[:, None])
    return images.lerp(turned, per_image(shift.sign().abs()))


def color_jitter(images: Tensor, factors: Tensor, hue: Tensor | None, order: Tensor) -> Tensor:
    """torchvision's ``ColorJitter`` with an order of its own for each image.

    Hue costs the most, so it is computed once: before it stand the blends that come earlier in the image's order, after
    it the later ones, and a blend that stands on the other side gets the neutral factor.

    Args:
        images: (B, 3, h, w) in [0, 255].
        factors: (B, 3) of brightness, contrast and saturation; 1 changes nothing.
        hue: (B,) in [-0.5, 0.5] turns; 0 changes nothing. None: no hue in the order.
        order: (B, 4) int64 permutation, or (B, 3) without hue: which operation comes first, second, ...;
            0 brightness, 1 contrast, 2 saturation, 3 hue.

    Returns:
        (B, 3, h, w) in [0, 255].
    """
    images, steps = images.clone(), order.shape[1]
    factors = torch.cat((factors, torch.ones_like(factors[:, :1])), dim=1).gather(1, order)  # (B, 4), in the order
    shares = 1 - factors  # of the other image
    contrast, saturation = (order == CONTRAST).float(), (order == SATURATION).float()
    if hue is None:
        for step in range(steps):
            blend_(images, shares[:, step], contrast[:, step], saturation[:, step])
        return images
    turned = (order == HUE).cumsum(1) > 0  # (B, 4): hue is this step or an earlier one
    before, after = shares * ~turned, shares * turned  # neutral is 0
    for step in range(steps - 1):
        blend_(images, before[:, step], contrast[:, step], saturation[:, step])
    images = adjust_hue(images, hue)
    for step in range(1, steps):
        blend_(images, after[:, step], contrast[:, step], saturation[:, step])
    return images


def grayscale(images: Tensor, apply: Tensor) -> Tensor:
    """Replace the colour by the luma, where ``apply`` (B,) is true; (B, 3, h, w) -> (B, 3, h, w)."""
    return images.lerp(luma(images)[:, None], per_image(apply.float()))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels at or above each image's threshold; PIL's ``solarize``, exact.

    Args:
        images: (B, 3, h, w), integers in [0, 255] as float32.
        threshold: (B,) on the same scale; 256 changes nothing.

    Returns:
        (B, 3, h, w), integers in [0, 255] as float32.
    """
    inverted = (images + per_image(1 - threshold.ceil())).clamp_(0, 1)  # one at or above the threshold, zero below
    return inverted.mul_(-255).add_(images).abs_()


def equalize(images: Tensor, apply: Tensor) -> Tensor:
    """Spread the histogram of every channel over [0, 255]; PIL's ``equalize``, exact.

    The same table as torchvision's ``equalize_image``, which builds it in slower integer arithmetic: all counts are
    below 2**24, so float32 holds them exactly.

    Args:
        images: (B, 3, h, w), integers in [0, 255] as float32.
        apply: (B,) bool; the other images are left as they are.

    Returns:
        (B, 3, h, w), integers in [0, 255] as float32.
    """
    pixels = images.flatten(2).byte().long()  # (B, 3, h*w); by way of uint8 twice as fast
    counts = torch.zeros(*pixels.shape[:2], 256, dtype=torch.int32, device=images.device)
    counts.scatter_add_(2, pixels, torch.ones((), dtype=torch.int32, device=images.device).expand_as(pixels))
    below = counts.cumsum(2, dtype=torch.int32).sub_(counts)  # (B, 3, 256): pixels darker than each level
    darker_than_brightest = (below * (counts > 0)).amax(2, keepdim=True).float()
    step = (darker_than_brightest / 255).floor_()
    table = below.float().add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    levels = torch.arange(256, device=images.device, dtype=torch.float32)
    table = torch.lerp(levels, table, step.clamp(max=1) * apply[:, None, None])
    return table.gather(2, pixels).view_as(images)
