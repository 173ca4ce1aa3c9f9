"""The view of evaluation against torchvision's ``Resize`` and ``CenterCrop`` on PIL images."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as tv
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from tests.utils.transforms.samples import KINDS, from_pil, sample_images, to_pil
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.spec import BICUBIC, BILINEAR, EvalSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RAW = ((0.0,) * 3, (1 / 255,) * 3)  # a normalisation that leaves pixels in [0, 255]
SPECS = [EvalSpec(32), EvalSpec(32, resize=36), EvalSpec(40, resize=41), EvalSpec(32, 32)]
SPECS += [replace(spec, interpolation=BICUBIC) for spec in SPECS]
SHAPES = [(64, 64), (70, 50), (41, 90), (30, 33)]


def reference(spec: EvalSpec):
    """The same view as torchvision composes it."""
    if spec.resize is None:
        return Resize((spec.size, spec.size), InterpolationMode(spec.interpolation))
    return Compose([Resize(spec.resize, InterpolationMode(spec.interpolation)), CenterCrop(spec.size)])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_torchvisions(spec, height, width, kind):
    images = sample_images(kind, 2, height, width)
    view = EvalPipeline(spec, *RAW)
    ours = view(images)
    assert ours.shape == (2, 3, spec.size, spec.size)
    for image, array in zip(images, ours, strict=True):
        expected = reference(spec)(to_pil(image))
        assert torch.equal(view.worker_view(to_pil(image)).float(), from_pil(expected))
        difference = (array - from_pil(expected)).abs()
        assert difference.max() < 1.01 if spec.interpolation == BILINEAR else difference.mean() < 0.6
        assert array.min() >= 0
        assert array.max() < 255.01


@pytest.mark.parametrize("resize", [None, 32])
def test_images_of_the_right_size_stay_as_they_are(resize):
    images, view = sample_images("noise", 3), EvalPipeline(EvalSpec(32, resize), MEAN, STD)
    assert torch.equal(view(images), view.finish(images))
    torch.testing.assert_close(view(images), tv.normalize(images / 255, MEAN, STD), rtol=1e-5, atol=1e-5)
    assert view(images).is_contiguous(memory_format=torch.channels_last)


def test_views_of_files_equal_views_of_arrays():
    image, view = sample_images("photo", 1, 80, 60), EvalPipeline(EvalSpec(32, resize=36), MEAN, STD)
    file = view.finish(view.worker_view(to_pil(image[0]))[None])
    assert (file - view(image)).abs().max() < 1.01 / 255 / min(STD)


def test_view_must_fit():
    with pytest.raises(ValueError, match="a 32 pixel view cannot be cut from images resized to 30 pixels"):
        EvalPipeline(EvalSpec(32, resize=30), MEAN, STD)
    with pytest.raises(ValueError, match="expected uint8 images"):
        EvalPipeline(EvalSpec(32), MEAN, STD)(torch.rand(2, 3, 32, 32))
