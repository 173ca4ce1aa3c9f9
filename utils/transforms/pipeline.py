"""From uint8 images to the normalised views that a network sees.

Arrays are cropped and augmented whole batches at a time on their device. Files are decoded and cropped one by one in
workers (:func:`worker_crops`), and :meth:`ViewPipeline.finish` does the rest through the same code.

Legend: B batch, N = views of one kind times B, H x W image, h x w view.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from utils.transforms import functional
from utils.transforms.augment import Normalizer, augment, check_images
from utils.transforms.draw import CropParams, FinishParams, ViewParams, draw_crop, draw_finish, draw_view, rows
from utils.transforms.pil import RESAMPLING
from utils.transforms.spec import PadCrop, ViewSpec

CPU_PIXELS = 2**17  # of the views computed at once on a CPU: what they need then stays in its caches


class ViewPipeline:
    """Random views of a batch of images.

    Views with the same specification are drawn and computed in one go. All randomness comes from the generator that is
    passed; its device must be that of the images. Nothing waits for the device after the first call.

    Args:
        views: the laws of the views, in the order in which they are returned.
        mean, std: of the three channels, for pixels in [0, 1].

    Raises:
        ValueError: if there is no view.
    """

    def __init__(self, views: Sequence[ViewSpec], mean: Sequence[float], std: Sequence[float]) -> None:
        if not views:
            raise ValueError("a pipeline needs at least one view")
        self.views = tuple(views)
        self.normalize = Normalizer(mean, std)
        self.positions = _positions(views)

    def __call__(self, images: Tensor, generator: Generator) -> list[Tensor]:
        """Draw and compute all views.

        Args:
            images: (B, 3, H, W) uint8.
            generator: the only source of randomness, on the device of ``images``.

        Returns:
            for each view (B, 3, h, w) float32, normalised, channels last.

        Raises:
            ValueError: if ``images`` are not uint8 of three channels.
        """
        check_images(images)
        batch, _, height, width = images.shape
        views: dict[int, Tensor] = {}
        for spec, positions in self.positions.items():
            params = draw_view(spec, len(positions) * batch, height, width, generator)
            computed = self.apply(images.repeat(len(positions), 1, 1, 1), spec, params)
            views.update(zip(positions, computed.split(batch), strict=True))
        return [views[position] for position in range(len(self.views))]

    def finish(self, crops: Sequence[Tensor], generator: Generator) -> list[Tensor]:
        """Draw and compute everything after the crop, for images that workers have cropped.

        Args:
            crops: for each view (B, 3, h, w) uint8, in the order of ``views``.
            generator: the only source of randomness, on the device of ``crops``.

        Returns:
            for each view (B, 3, h, w) float32, normalised, channels last.

        Raises:
            ValueError: if there is not one uint8 crop for each view, all of one batch size.
        """
        if len(crops) != len(self.views) or len({len(crop) for crop in crops}) != 1:
            raise ValueError(f"{len(self.views)} views need one crop each of the same batch, not {len(crops)}")
        for crop in crops:
            check_images(crop)
        views: dict[int, Tensor] = {}
        for spec, positions in self.positions.items():
            joined = torch.cat([crops[position] for position in positions])
            computed = self.apply_finish(joined, spec, draw_finish(spec, len(joined), generator))
            views.update(zip(positions, computed.split(len(crops[0])), strict=True))
        return [views[position] for position in range(len(self.views))]

    def apply(self, images: Tensor, spec: ViewSpec, params: ViewParams) -> Tensor:
        """Compute the views with these parameters: uint8 (N, 3, H, W) -> float32 (N, 3, h, w), normalised."""
        return self._compute(images, spec, params.crop, params.finish)

    def apply_finish(self, crops: Tensor, spec: ViewSpec, params: FinishParams) -> Tensor:
        """Everything after the crop with these parameters: uint8 (N, 3, h, w) -> float32, normalised."""
        return self._compute(crops, spec, None, params)

    @torch.no_grad()
    def _compute(self, images: Tensor, spec: ViewSpec, crop: CropParams | None, finish: FinishParams) -> Tensor:
        """Crop, unless there is None, and the rest; piece by piece on the CPU, at once on other devices."""
        total, shape = len(images), (len(images), 3, spec.size, spec.size)
        views = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        piece = max(1, CPU_PIXELS // spec.size**2) if images.device.type == "cpu" else total
        with torch.autocast(images.device.type, enabled=False):
            for start in range(0, total, piece):
                part = images[start : start + piece].float()
                if crop is not None:
                    here = rows(crop, start, start + piece)
                    part = functional.resized_crop(
                        *_padded(part, here.box, spec), spec.size, here.flip, spec.interpolation
                    )
                part = augment(part, spec, rows(finish, start, start + piece))
                self.normalize(part, views[start : start + piece])
        return views


def worker_crops(image: Image.Image, views: Sequence[ViewSpec], generator: Generator) -> list[Tensor]:
    """Crop, resize and flip one decoded image with PIL, once for each view.

    Args:
        image: RGB, of any size.
        views: laws of the views.
        generator: on the CPU.

    Returns:
        for each view (3, h, w) uint8.
    """
    crops: dict[int, Tensor] = {}
    for spec, positions in _positions(views).items():  # views of one law are drawn in one go
        params = draw_crop(spec, len(positions), image.height, image.width, generator)
        crops |= {
            position: _crop(image, spec.size, box, flip, spec.interpolation)
            for position, box, flip in zip(positions, params.box.tolist(), params.flip.tolist(), strict=True)
        }
    return [crops[position] for position in range(len(views))]


def _padded(images: Tensor, boxes: Tensor, spec: ViewSpec) -> tuple[Tensor, Tensor]:
    """The images with zeros around them where padded crops are resized, whose filter reads them; and the boxes there.

    A crop that is not resized reads one pixel for each of its own, and gets a zero where there is none.
    """
    resized = [crop for crop in spec.crops if isinstance(crop, PadCrop) and crop.size not in (None, spec.size)]
    if not resized:
        return images, boxes
    padding = max(crop.padding for crop in resized)
    return F.pad(images, [padding] * 4), torch.cat((boxes[:, :2] + padding, boxes[:, 2:]), dim=1)


def _positions(views: Sequence[ViewSpec]) -> dict[ViewSpec, list[int]]:
    """Where the views of each law are."""
    positions: dict[ViewSpec, list[int]] = {}
    for position, spec in enumerate(views):
        positions.setdefault(spec, []).append(position)
    return positions


def _crop(image: Image.Image, size: int, box: Sequence[float], flip: bool, interpolation: str) -> Tensor:
    """(3, size, size) uint8 of the box (top, left, height, width)."""
    top, left, height, width = map(int, box)
    image = image.crop((left, top, left + width, top + height))
    if image.size != (size, size):
        image = image.resize((size, size), RESAMPLING[interpolation])
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return pil_to_tensor(image)
