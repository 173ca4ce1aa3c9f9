"""View specifications: what is drawn for each image, as data.

A crop policy is a tuple of :class:`ViewSpec`; everything that augments an image, on the device or in a worker,
reads these. No torch here, so that the flags can be parsed without it.
"""

from dataclasses import dataclass

BILINEAR, BICUBIC = "bilinear", "bicubic"  # interpolations, both antialiased as in PIL


@dataclass(frozen=True)
class ResizedCrop:
    """Crop of random area and aspect, resized to the view (torchvision's ``RandomResizedCrop``, antialiased).

    Args:
        scale: range of the crop's area as a share of the image's.
        ratio: range of width / height, drawn uniformly in its logarithm.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float] = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class PadCrop:
    """Zero padding on every side, then a random square crop (torchvision's ``RandomCrop``), resized to the view.

    Args:
        padding: in pixels of the image.
        size: side of the crop in pixels of the image; None: the view's, so that nothing is resized.
    """

    padding: int = 4
    size: int | None = None


@dataclass(frozen=True)
class Jitter:
    """Brightness, contrast, saturation and hue in a random order for each image, with probability ``p``."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    p: float


@dataclass(frozen=True)
class Blur:
    """Gaussian blur with sigma (in pixels) uniform in ``sigma``, with probability ``p``."""

    p: float
    sigma: tuple[float, float] = (0.1, 2.0)
    kernel_size: int = 23


@dataclass(frozen=True)
class ViewSpec:
    """The law of one random view.

    Args:
        size: height and width of the view in pixels.
        crops: the view's crop is one of these, chosen uniformly for each image.
        flip: probability of a horizontal flip.
        rotation: the view is turned by an angle uniform in ±rotation degrees (0: not at all).
        jitter: colour jitter, or None.
        solarize: probability of inverting the pixels at or above a threshold uniform in (0, 256).
        equalize: probability of histogram equalisation.
        grayscale: probability of dropping the colour.
        blur: Gaussian blur, or None.
        interpolation: of crops that are resized, ``BILINEAR`` or ``BICUBIC``.
    """

    size: int
    crops: tuple[ResizedCrop | PadCrop, ...]
    flip: float = 0.5
    rotation: float = 0.0
    jitter: Jitter | None = None
    solarize: float = 0.0
    equalize: float = 0.0
    grayscale: float = 0.0
    blur: Blur | None = None
    interpolation: str = BILINEAR


@dataclass(frozen=True)
class EvalSpec:
    """The one deterministic view of evaluation.

    Args:
        size: height and width of the view in pixels.
        resize: length of the shorter side before the centre crop of ``size``; None resizes the whole image to
            ``size`` x ``size`` (which leaves images of that size as they are).
        interpolation: ``BILINEAR`` or ``BICUBIC``.
    """

    size: int
    resize: int | None = None
    interpolation: str = BILINEAR


@dataclass(frozen=True)
class BackboneData:
    """What a backbone expects of its images, from the data configuration of its weights.

    Args:
        mean, std: of the three channels, for pixels in [0, 1].
        size: height and width in pixels.
        interpolation: ``BILINEAR`` or ``BICUBIC``.
        fixed_size: whether it takes no other size.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    interpolation: str
    fixed_size: bool = False
