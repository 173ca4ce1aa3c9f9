"""Images to test on, uint8 (B, 3, H, W): noise is the hardest, photographs and gradients are the likeliest."""

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

KINDS = ("noise", "gradient", "photo")


def sample_images(kind: str, batch: int, height: int = 32, width: int | None = None, seed: int = 0) -> Tensor:
    """A batch of images of one of ``KINDS``."""
    width = width or height
    generator = torch.Generator().manual_seed(seed)
    if kind == "noise":
        return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)
    if kind == "gradient":
        level, down, right = torch.rand(3, batch, 3, 1, 1, generator=generator)
        rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
        noise = 0.03 * torch.randn(batch, 3, height, width, generator=generator)
        smooth = level + 0.5 * (down - 0.5) * rows + 0.5 * (right - 0.5) * columns + noise
        return (255 * smooth.clamp(0, 1)).round().byte()
    return torch.from_numpy(np.stack([_photo(index, height, width) for index in range(batch)])).permute(0, 3, 1, 2)


def _photo(index: int, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(load_sample_image(("china.jpg", "flower.jpg")[index % 2]))
    left, top = 37 * index % (image.width - 200), 61 * index % (image.height - 200)
    return np.asarray(image.crop((left, top, left + 200, top + 200)).resize((width, height)))


def to_pil(image: Tensor) -> Image.Image:
    """uint8 (3, H, W) -> PIL."""
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def from_pil(image: Image.Image) -> Tensor:
    """PIL -> float32 (3, H, W) in [0, 255]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
