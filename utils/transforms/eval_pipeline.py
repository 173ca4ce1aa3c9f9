"""From uint8 images to the one normalised view of evaluation, in batches on the device or one by one in workers."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from utils.transforms import functional
from utils.transforms.augment import Normalizer, check_images
from utils.transforms.pil import RESAMPLING
from utils.transforms.spec import BICUBIC, EvalSpec


class EvalPipeline:
    """The deterministic view of evaluation.

    Args:
        spec: its law.
        mean, std: of the three channels, for pixels in [0, 1].

    Raises:
        ValueError: if the view does not fit into the resized image.
    """

    def __init__(self, spec: EvalSpec, mean: Sequence[float], std: Sequence[float]) -> None:
        if spec.resize is not None and spec.resize < spec.size:
            raise ValueError(f"a {spec.size} pixel view cannot be cut from images resized to {spec.resize} pixels")
        self.spec = spec
        self.normalize = Normalizer(mean, std)

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> float32 (B, 3, size, size), normalised, channels last.

        Raises:
            ValueError: if ``images`` are not uint8 of three channels.
        """
        check_images(images)
        in_height, in_width = images.shape[-2:]
        height, width = self._resized(in_height, in_width)
        if (in_height, in_width, height, width) != (self.spec.size,) * 4:
            with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
                rows = self._weights(in_height, height, images.device)
                columns = self._weights(in_width, width, images.device)
                overshoots = self.spec.interpolation == BICUBIC
                images = functional.separable(images.float(), rows, columns, overshoots).round_()
        return self.finish(images)

    def worker_view(self, image: Image.Image) -> Tensor:
        """Resize and crop one decoded RGB image with PIL: any size -> (3, size, size) uint8."""
        height, width = self._resized(image.height, image.width)
        if image.size != (width, height):
            image = image.resize((width, height), RESAMPLING[self.spec.interpolation])
        top, left = self._start(height), self._start(width)
        return pil_to_tensor(image.crop((left, top, left + self.spec.size, top + self.spec.size)))

    def finish(self, views: Tensor) -> Tensor:
        """(B, 3, size, size) in [0, 255], uint8 or float32 -> float32, normalised, channels last."""
        with torch.no_grad(), torch.autocast(views.device.type, enabled=False):
            return self.normalize(views.float())

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before the centre crop, as torchvision's ``Resize`` has them."""
        shorter = self.spec.resize
        if shorter is None:
            return self.spec.size, self.spec.size
        if height <= width:
            return shorter, int(shorter * width / height)
        return int(shorter * height / width), shorter

    def _start(self, resized: int) -> int:
        """First pixel of the centre crop."""
        return round((resized - self.spec.size) / 2)

    def _weights(self, in_size: int, resized: int, device: torch.device) -> Tensor:
        """(1, size, in_size) matrix that resizes a whole axis and cuts out its centre."""
        start, length = torch.zeros(1, device=device), torch.full((1,), float(in_size), device=device)
        whole = functional.resized_crop_weights(start, length, in_size, resized, None, self.spec.interpolation)
        return whole[:, self._start(resized) : self._start(resized) + self.spec.size]
