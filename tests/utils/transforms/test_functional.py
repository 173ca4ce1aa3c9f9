"""Crop, resize, flip, rotation and blur against PIL and torchvision, one image at a time."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as tv
from PIL import ImageOps
from torchvision.transforms import InterpolationMode

from tests.utils.transforms.samples import KINDS, from_pil, sample_images, to_pil
from utils.transforms import functional
from utils.transforms.augment import augment
from utils.transforms.draw import FinishParams, draw_view
from utils.transforms.pil import RESAMPLING
from utils.transforms.pipeline import ViewPipeline
from utils.transforms.spec import BICUBIC, BILINEAR, Jitter, PadCrop, ResizedCrop, ViewSpec

BATCH = 12


def random_boxes(batch: int, height: int, width: int, smallest: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    box_height = torch.randint(smallest, height + 1, (batch,), generator=generator)
    box_width = torch.randint(smallest, width + 1, (batch,), generator=generator)
    top = (torch.rand(batch, generator=generator) * (height - box_height + 1)).floor()
    left = (torch.rand(batch, generator=generator) * (width - box_width + 1)).floor()
    return torch.stack((top, left, box_height.float(), box_width.float()), dim=1)


@pytest.mark.parametrize("interpolation", [BILINEAR, BICUBIC])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (32, 32, 18), (48, 37, 20), (20, 33, 40), (16, 16, 96)]
)
def test_resized_crop_is_pil_and_torchvision(kind, height, width, size, interpolation):
    images = sample_images(kind, BATCH, height, width)
    boxes, flip = random_boxes(BATCH, height, width), torch.arange(BATCH) % 3 == 0
    ours = functional.resized_crop(images.float(), boxes, size, flip, interpolation)
    assert ours.shape == (BATCH, 3, size, size)
    assert ours.min() >= 0
    assert ours.max() < 255.01
    for image, box, flipped, view in zip(images, boxes.int().tolist(), flip, ours, strict=True):
        top, left, box_height, box_width = box
        pil = to_pil(image).crop((left, top, left + box_width, top + box_height))
        pil = pil.resize((size, size), RESAMPLING[interpolation])
        pil = ImageOps.mirror(pil) if flipped else pil
        # PIL rounds after each of the two axes; what overshoots it clamps there, in an order of axes of its own.
        difference = (view - from_pil(pil)).abs()
        assert difference.max() < 1.01 if interpolation == BILINEAR else difference.mean() < 0.5
        mode = InterpolationMode(interpolation)
        rows = tv.resized_crop(image.float(), *box, [box[2], size], mode, antialias=True).clamp(0, 255)
        expected = tv.resize(rows, [size, size], mode, antialias=True).clamp(0, 255)  # one axis after the other
        expected = tv.hflip(expected) if flipped else expected
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("padding", [0, 2, 4])
@pytest.mark.parametrize("size", [32, 24])
def test_padded_crop_is_exactly_pils_at_every_offset(padding, size):
    offsets = range(-padding, 32 + padding - size + 1)
    boxes = torch.tensor([(top, left, size, size) for top in offsets for left in offsets]).float()
    images = sample_images("noise", len(boxes))
    flip = torch.arange(len(boxes)) % 2 == 0
    ours = functional.resized_crop(images.float(), boxes, size, flip)
    for image, (top, left, _, _), flipped, view in zip(images, boxes.tolist(), flip, ours, strict=True):
        padded = tv.pad(to_pil(image), padding)
        expected = tv.crop(padded, int(top) + padding, int(left) + padding, size, size)
        assert torch.equal(view, from_pil(ImageOps.mirror(expected) if flipped else expected))


@pytest.mark.parametrize("size", [32, 18, 96])
def test_a_padded_crop_that_is_resized_is_cut_from_zeros(size):
    spec = ViewSpec(size, (PadCrop(4, size=24), ResizedCrop((0.5, 1.0))), flip=0, interpolation=BICUBIC)
    images = sample_images("photo", 16, 24)
    params = draw_view(spec, 16, 24, 24, torch.Generator().manual_seed(0))
    over = (params.crop.box[:, :2] < 0).any(1)
    assert 2 < over.sum() < 14
    views = ViewPipeline([spec], (0.0,) * 3, (1 / 255,) * 3).apply(images, spec, params)
    for image, (top, left, height, width), view in zip(images, params.crop.box.int().tolist(), views, strict=True):
        crop = tv.crop(tv.pad(image, 4).float(), top + 4, left + 4, height, width)
        rows = tv.resize(crop, [height, size], InterpolationMode.BICUBIC, antialias=True).clamp(0, 255)
        expected = tv.resize(rows, [size, size], InterpolationMode.BICUBIC, antialias=True).clamp(0, 255)
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-3)


def test_what_an_interpolation_overshoots_does_not_reach_the_colours():
    """A checkerboard overshoots most; beyond the scale a histogram wraps around, and colours of any sign come out."""
    board = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).mul(255).byte().expand(32, 3, 8, 8)
    boxes = torch.tensor([[1.0, 1.0, 6.0, 6.0]]).expand(32, 4)
    crops = functional.resized_crop(board.float(), boxes, 33, None, BICUBIC)
    assert crops.min() >= 0
    assert crops.max() <= 255
    spec = ViewSpec(
        33, (ResizedCrop((0.3, 1.0)),), 0.5, 0, Jitter(0.8, 0.8, 0.8, 0.5, p=1.0), solarize=0.5, equalize=0.5
    )
    for interpolation in (BILINEAR, BICUBIC):
        pipeline = ViewPipeline([replace(spec, interpolation=interpolation)], (0.0,) * 3, (1 / 255,) * 3)
        (view,) = pipeline(board.contiguous(), torch.Generator().manual_seed(0))
        assert view.isfinite().all()
        assert view.min() >= 0
        assert view.max() < 255.01
    equalized = augment(crops, spec, FinishParams(equalize=torch.ones(32, dtype=torch.bool)))
    exact = torch.stack([tv.equalize(crop) for crop in crops.round().byte()]).float()
    assert torch.equal(equalized, exact)


def test_weights_come_from_the_box_and_sum_to_one():
    start, length = torch.tensor([0.0, 3.0, 10.0, 31.0]), torch.tensor([32.0, 7.0, 22.0, 1.0])
    weights = functional.resized_crop_weights(start, length, 32, 18)
    assert weights.shape == (4, 18, 32)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 18))
    pixels = torch.arange(32)
    outside = (pixels < start[:, None]) | (pixels >= (start + length)[:, None])
    assert not (weights * outside[:, None]).any()
    flipped = functional.resized_crop_weights(start, length, 32, 18, torch.tensor([True, False, True, False]))
    torch.testing.assert_close(flipped[::2], weights[::2].flip(1))
    assert torch.equal(flipped[1::2], weights[1::2])


def test_separable_is_a_product_on_each_side():
    images, rows, columns = torch.rand(4, 3, 9, 7), torch.rand(4, 5, 9), torch.rand(4, 6, 7)
    ours = functional.separable(images, rows, columns)
    for view, image, row, column in zip(ours, images, rows, columns, strict=True):
        for channel, source in zip(view, image, strict=True):
            torch.testing.assert_close(channel, row @ source @ column.T)
    shared = functional.separable(images, rows[:1], columns[:1])
    torch.testing.assert_close(shared[0], ours[0])


@pytest.mark.parametrize(("height", "width"), [(12, 12), (32, 32), (20, 30)])
def test_rotate_is_torchvisions(height, width):
    angles = torch.tensor([0.0, 15.0, -15.0, 3.3, 45.0, 90.0, -120.0, 180.0])
    images = sample_images("photo", len(angles), height, width).float()
    ours = functional.rotate(images, angles)
    for image, angle, view in zip(images, angles.tolist(), ours, strict=True):
        expected = tv.rotate(image, angle, InterpolationMode.BILINEAR)
        assert (view - expected).abs().max() < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "kernel_size"), [(48, 23), (30, 5)])
def test_blur_is_torchvisions(kind, size, kernel_size):
    sigma = torch.tensor([0.1, 0.3, 0.7, 1.0, 1.6, 2.0])
    images = sample_images(kind, len(sigma), size, size + 4).float()
    ours = functional.gaussian_blur(images, sigma, kernel_size)
    for image, s, view in zip(images, sigma.tolist(), ours, strict=True):
        expected = tv.gaussian_blur(image, [kernel_size, kernel_size], [s, s])
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-3)


def test_blur_with_sigma_zero_changes_nothing():
    images = sample_images("noise", 3, 32).float() + 0.3
    blurred = functional.gaussian_blur(images, torch.tensor([0.0, 1.0, 0.0]), 23)
    assert torch.equal(blurred[::2], images[::2])
    assert not torch.allclose(blurred[1], images[1], atol=1)


@pytest.mark.parametrize("kernel_size", [22, 65])
def test_blur_refuses_kernels_that_do_not_fit(kernel_size):
    with pytest.raises(ValueError, match="odd kernel size of at most 63"):
        functional.gaussian_blur(torch.rand(1, 3, 32, 32), torch.ones(1), kernel_size)
