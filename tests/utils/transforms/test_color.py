"""Colour operations against PIL and torchvision, one image at a time."""

from itertools import permutations

import pytest
import torch
import torchvision.transforms.functional as tv
from PIL import ImageOps

from tests.utils.transforms.samples import KINDS, from_pil, sample_images, to_pil
from utils.transforms import color

FACTORS = torch.tensor([0.2, 0.6, 0.83, 1.0, 1.17, 1.4, 1.8])
ADJUST = {"brightness": tv.adjust_brightness, "contrast": tv.adjust_contrast, "saturation": tv.adjust_saturation}
SEQUENCE = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)


def blend(images, factor, name):
    """``color.blend_`` with the same operation for all images."""
    one, zero = torch.ones(len(images)), torch.zeros(len(images))
    return color.blend_(
        images.clone(), 1 - factor, one if name == "contrast" else zero, one if name == "saturation" else zero
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ADJUST)
def test_blend_is_pil_and_torchvision(kind, name):
    images = sample_images(kind, len(FACTORS))
    ours = blend(images.float(), FACTORS, name)
    for image, factor, view in zip(images, FACTORS.tolist(), ours, strict=True):
        assert (view.round() - from_pil(ADJUST[name](to_pil(image), factor))).abs().max() <= 1
        expected = 255 * ADJUST[name](image / 255, factor)  # with 0.2989 for red where ITU-R 601 and PIL have 0.299
        assert (view - expected).abs().max() < 0.05


# PIL cuts hue, saturation and the shift itself to 8 bits, which shows where colours are stronger than in photographs.
@pytest.mark.parametrize(("kind", "on_average"), [("photo", 0.5), ("gradient", 1.2), ("noise", 1.2)])
def test_hue_is_torchvisions_everywhere_and_pils_on_average(kind, on_average):
    shifts = torch.linspace(-0.5, 0.5, 22)
    images = sample_images(kind, len(shifts))
    ours = color.adjust_hue(images.float(), shifts)
    pil = torch.stack([from_pil(tv.adjust_hue(to_pil(i), s)) for i, s in zip(images, shifts.tolist(), strict=True)])
    assert (ours - pil).abs().mean() < on_average
    for image, shift, view in zip(images, shifts.tolist(), ours, strict=True):
        assert (view - 255 * tv.adjust_hue(image / 255, shift)).abs().max() < 0.01


def test_hue_of_pure_and_of_grey_pixels():
    pure = 255.0 * torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).T.reshape(1, 3, 1, 8)
    third = color.adjust_hue(pure, torch.tensor([1 / 3]))
    torch.testing.assert_close(third, pure.roll(1, dims=1), rtol=0, atol=1e-3)  # red becomes green
    grey = torch.arange(256.0).expand(1, 3, 1, 256)
    torch.testing.assert_close(color.adjust_hue(grey, torch.tensor([0.1])), grey, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_hue", [True, False])
def test_jitter_in_every_order(kind, with_hue):
    orders = torch.tensor(list(permutations(range(4 if with_hue else 3))))
    generator, batch = torch.Generator().manual_seed(2), len(orders)
    images = sample_images(kind, batch)
    factors = 0.6 + 0.8 * torch.rand(batch, 3, generator=generator)
    hue = 0.2 * torch.rand(batch, generator=generator) - 0.1
    ours = color.color_jitter(images.float(), factors, hue if with_hue else None, orders)
    for index, order in enumerate(orders.tolist()):
        expected = images[index] / 255
        for operation in order:
            strength = [*factors[index].tolist(), hue[index].item()][operation]
            expected = SEQUENCE[operation](expected, strength)
        assert (ours[index] - 255 * expected).abs().max() < 0.1


def test_neutral_parameters_change_nothing():
    images, zero = sample_images("noise", 24).float(), torch.zeros(24)
    orders = torch.tensor(list(permutations(range(4))))
    fractional = (images + 0.37).clamp(max=255)
    assert torch.equal(color.color_jitter(fractional, torch.ones(24, 3), zero, orders), fractional)
    assert torch.equal(color.grayscale(fractional, zero.bool()), fractional)
    assert torch.equal(color.solarize(images, zero + 256), images)
    assert torch.equal(color.equalize(images, zero.bool()), images)


def test_nothing_is_changed_in_place():
    images = sample_images("noise", 6).float()
    before, ones = images.clone(), torch.ones(6)
    color.color_jitter(images, torch.full((6, 3), 1.3), 0.1 * ones, torch.arange(4).repeat(6, 1))
    color.adjust_hue(images, 0.1 * ones)
    color.grayscale(images, ones.bool())
    color.solarize(images, 100 * ones)
    color.equalize(images, ones.bool())
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", KINDS)
def test_grayscale_is_pils(kind):
    images, apply = sample_images(kind, 6), torch.arange(6) % 2 == 0
    ours = color.grayscale(images.float(), apply)
    for image, chosen, view in zip(images, apply, ours, strict=True):
        expected = from_pil(to_pil(image).convert("L").convert("RGB")) if chosen else image.float()
        assert (view - expected).abs().max() < 0.51


@pytest.mark.parametrize("kind", KINDS)
def test_solarize_is_exactly_pils(kind):
    thresholds = torch.tensor([0.0, 0.4, 1.0, 63.5, 127.0, 128.0, 200.01, 254.9, 255.0, 255.2, 256.0])
    images = sample_images(kind, len(thresholds))
    ours = color.solarize(images.float(), thresholds)
    for image, threshold, view in zip(images, thresholds.tolist(), ours, strict=True):
        assert torch.equal(view, from_pil(ImageOps.solarize(to_pil(image), threshold)))


def few_levels(levels: int) -> torch.Tensor:
    return (sample_images("noise", 4) % levels) * (255 // levels)


@pytest.mark.parametrize(
    "images",
    [
        *(sample_images(kind, 6, size) for kind in KINDS for size in (18, 32)),
        sample_images("photo", 2, 224),
        *(few_levels(levels) for levels in (1, 2, 3, 7, 100)),
        torch.full((2, 3, 18, 18), 77, dtype=torch.uint8),
        torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16),
    ],
    ids=lambda images: f"{tuple(images.shape)}",
)
def test_equalize_is_exactly_pils(images):
    apply = torch.arange(len(images)) % 3 != 2
    ours = color.equalize(images.float(), apply)
    for image, chosen, view in zip(images, apply, ours, strict=True):
        assert torch.equal(view, from_pil(ImageOps.equalize(to_pil(image))) if chosen else image.float())
        assert not chosen or torch.equal(view, tv.equalize(image).float())
