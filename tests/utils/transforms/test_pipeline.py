"""Whole views: against PIL, against their operations one by one, and without waiting for the device."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as tv
from PIL import Image, ImageOps

from tests.no_waiting import NoWaiting
from tests.utils.transforms.samples import KINDS, from_pil, sample_images, to_pil
from utils.data.specs import DATASETS
from utils.transforms import augment, color, functional, pipeline
from utils.transforms.draw import FinishParams, draw_crop, draw_finish, draw_view
from utils.transforms.pipeline import ViewPipeline, worker_crops
from utils.transforms.spec import Blur, Jitter, PadCrop, ResizedCrop, ViewSpec

CIFAR, IMAGENET, DIGITS = DATASETS["CIFAR10"], DATASETS["ImageNet"], DATASETS["digits"]
MEAN, STD = CIFAR.mean, CIFAR.std
RAW = ((0.0,) * 3, (1 / 255,) * 3)  # a normalisation that leaves pixels in [0, 255]
EVERYTHING = ViewSpec(
    24,
    (PadCrop(2), ResizedCrop((0.3, 1.0))),
    rotation=15.0,
    jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.7),
    solarize=0.3,
    equalize=0.3,
    grayscale=0.3,
    blur=Blur(p=0.5, kernel_size=5),
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def every_view_at_once(monkeypatch):
    """As on an accelerator: no number of images that depends on what was drawn."""
    monkeypatch.setattr(augment, "DRAWN_ALONE", ())


@pytest.mark.parametrize("dataset", [CIFAR, DIGITS], ids=lambda dataset: dataset.name)
def test_views_come_in_their_order(dataset):
    views = (dataset.small, dataset.large, dataset.small, dataset.large)
    images = sample_images("photo", 6, dataset.image_size)
    computed = ViewPipeline(views, dataset.mean, dataset.std)(images, seeded())
    assert [view.shape for view in computed] == [(6, 3, spec.size, spec.size) for spec in views]
    for view in computed:
        assert view.dtype == torch.float32
        assert view.isfinite().all()
        assert view.is_contiguous(memory_format=torch.channels_last)


def test_the_seed_decides_and_every_view_of_every_image_is_its_own():
    images = sample_images("photo", 1).repeat(16, 1, 1, 1)
    views = ViewPipeline((CIFAR.large, CIFAR.large, CIFAR.small), MEAN, STD)
    first, again, other = (views(images, seeded(seed)) for seed in (3, 3, 4))
    for ours, same, different in zip(first, again, other, strict=True):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, different)
    assert len(torch.cat(first[:2]).flatten(1).unique(dim=0)) == 32
    assert len(first[2].flatten(1).unique(dim=0)) == 16


def test_a_view_is_its_operations_one_by_one():
    images = sample_images("photo", 40)
    (view,) = ViewPipeline([EVERYTHING], MEAN, STD)(images, seeded(5))
    params = draw_view(EVERYTHING, 40, 32, 32, seeded(5))
    finish = params.finish
    expected = functional.resized_crop(images.float(), params.crop.box, 24, params.crop.flip)
    expected = functional.rotate(expected, finish.angle)
    expected = color.color_jitter(expected, finish.factors, finish.hue, finish.order).round()
    expected = color.equalize(color.solarize(expected, finish.threshold), finish.equalize)
    expected = color.grayscale(expected, finish.grayscale)
    expected = functional.gaussian_blur(expected, finish.sigma, 5)
    torch.testing.assert_close(view, tv.normalize(expected / 255, MEAN, STD), rtol=1e-4, atol=1e-4)


def test_pieces_do_not_show(monkeypatch):
    images, views = sample_images("noise", 10), ViewPipeline([EVERYTHING, EVERYTHING], MEAN, STD)
    whole = views(images, seeded())
    monkeypatch.setattr(pipeline, "CPU_PIXELS", 3 * 24**2)
    for ours, expected in zip(views(images, seeded()), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
        assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("spec", [EVERYTHING, CIFAR.large, DIGITS.large], ids=lambda spec: f"{spec.size}")
def test_operations_for_drawn_views_alone_do_not_show(spec, every_view_at_once, monkeypatch):
    images, views = sample_images("photo", 40, spec.size), ViewPipeline([spec, spec], *RAW)
    at_once = views(images, seeded())
    monkeypatch.undo()
    for ours, expected in zip(views(images, seeded()), at_once, strict=True):
        assert torch.equal(ours, expected)


def test_a_turned_white_image_is_white_whether_jittered_or_not(monkeypatch):
    spec, white = DIGITS.large, torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    alone = ViewPipeline([spec] * 2, *RAW)(white, seeded())
    monkeypatch.setattr(augment, "DRAWN_ALONE", ())
    for ours, expected in zip(alone, ViewPipeline([spec] * 2, *RAW)(white, seeded()), strict=True):
        assert torch.equal(ours, expected)


def test_finish_does_to_crops_what_arrays_get():
    spec = replace(CIFAR.large, crops=(PadCrop(4),))  # whose crops are exact in uint8
    images, views = sample_images("photo", 20), ViewPipeline([spec], MEAN, STD)
    params = draw_view(spec, 20, 32, 32, seeded())
    crops = functional.resized_crop(images.float(), params.crop.box, 32, params.crop.flip).byte()
    assert torch.equal(views.apply(images, spec, params), views.apply_finish(crops, spec, params.finish))


def test_finish_draws_for_every_view_and_keeps_their_order():
    small, large = replace(EVERYTHING, size=18), EVERYTHING
    views = ViewPipeline((small, large, small), MEAN, STD)
    crops = [sample_images("photo", 2, spec.size, seed=seed) for seed, spec in enumerate(views.views)]
    computed = views.finish(crops, seeded(1))
    generator = seeded(1)
    expected_small = views.apply_finish(torch.cat(crops[::2]), small, draw_finish(small, 4, generator))
    expected_large = views.apply_finish(crops[1], large, draw_finish(large, 2, generator))
    for ours, expected in zip(computed, (expected_small[:2], expected_large, expected_small[2:]), strict=True):
        assert torch.equal(ours, expected)


def test_probability_zero_is_the_image_itself():
    never = replace(EVERYTHING, jitter=Jitter(0.4, 0.4, 0.4, 0.1, p=0), blur=Blur(p=0), rotation=0.0)
    never = replace(never, size=32, crops=(PadCrop(0),), flip=0, solarize=0, equalize=0, grayscale=0)
    images = sample_images("noise", 8)
    assert torch.equal(ViewPipeline([never], *RAW)(images, seeded())[0].round(), images.float())
    rarely = replace(never, jitter=Jitter(0.4, 0.4, 0.4, 0.1, p=1e-9), solarize=1e-9, equalize=1e-9, grayscale=1e-9)
    drawn = ViewPipeline([replace(rarely, blur=Blur(p=1e-9))], MEAN, STD)(images, seeded())[0]
    assert torch.equal(drawn, ViewPipeline([never], MEAN, STD)(images, seeded())[0])


def pil_jittered(image: Image.Image, size: int, box, flip, factors, hue, order) -> Image.Image:
    """Crop, flip and jitter of one image, an operation of PIL after the other."""
    top, left, height, width = (int(value) for value in box)
    image = image.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BILINEAR)
    image = ImageOps.mirror(image) if flip else image
    operations = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for operation in order:
        image = operations[operation](image, float([*factors, hue][operation]))
    return image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", [CIFAR.large, CIFAR.small], ids=["large", "small"])
def test_cifar_views_are_pils(kind, spec):
    images, views = sample_images(kind, 40), ViewPipeline([spec], *RAW)
    params = draw_view(spec, 40, 32, 32, seeded(7))
    crop, finish = params.crop, params.finish
    jittered = views.apply(images, spec, replace(params, finish=replace(finish, threshold=None, equalize=None)))
    jittered = jittered.round().clamp(0, 255).byte()
    view = views.apply(images, spec, params).round()
    differences = []
    for index, image in enumerate(images):
        given = crop.box[index], crop.flip[index], finish.factors[index], finish.hue[index], finish.order[index]
        pil = from_pil(pil_jittered(to_pil(image), spec.size, *given))
        differences.append((jittered[index] - pil).abs().mean())
        # From the same 8 bits on, the rest is exact. (From PIL's own it is not: one level more turns a histogram.)
        expected = ImageOps.solarize(to_pil(jittered[index]), float(finish.threshold[index]))
        expected = ImageOps.equalize(expected) if finish.equalize[index] else expected
        assert torch.equal(view[index], from_pil(expected))
    # PIL cuts after each of up to five operations, which adds up to about one level.
    assert torch.stack(differences).mean() < 1.6
    assert torch.stack(differences).max() < 6  # where colours are strong: the hue in 8 bits


@pytest.mark.parametrize("spec", [CIFAR.large, IMAGENET.large, IMAGENET.small], ids=["cifar", "large", "small"])
def test_worker_crop_is_what_arrays_get(spec):
    for seed, (height, width) in enumerate([(32, 32), (60, 41), (300, 400)] if spec.size != 32 else [(32, 32)] * 6):
        image = sample_images("photo", 1, height, width)
        crop = worker_crops(to_pil(image[0]), [spec], seeded(seed))[0]
        assert crop.dtype == torch.uint8
        params = draw_crop(spec, 1, height, width, seeded(seed))
        expected = functional.resized_crop(image.float(), params.box, spec.size, params.flip)[0]
        assert (crop - expected).abs().max() < 1.01


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32).byte(), torch.zeros(3, 32, 32).byte()]
)
def test_only_uint8_colour_images(images):
    views = ViewPipeline([CIFAR.large], MEAN, STD)
    with pytest.raises(ValueError, match="expected uint8 images"):
        views(images, seeded())
    with pytest.raises(ValueError, match="expected uint8 images"):
        views.finish([images], seeded())


def test_as_many_crops_as_views():
    with pytest.raises(ValueError, match="at least one view"):
        ViewPipeline([], MEAN, STD)
    views, crop = ViewPipeline([CIFAR.large] * 2, MEAN, STD), sample_images("noise", 2)
    with pytest.raises(ValueError, match="2 views need one crop each"):
        views.finish([crop], seeded())
    with pytest.raises(ValueError, match="2 views need one crop each"):
        views.finish([crop, crop[:1]], seeded())


def test_autocast_does_not_reach_the_pixels():
    images, views = sample_images("photo", 4), ViewPipeline([EVERYTHING], MEAN, STD)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = views(images, seeded())[0]
    assert torch.equal(mixed, views(images, seeded())[0])


WAITING = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).any()),
    "equal": lambda x: torch.equal(x, x + 1),
    "mask": lambda x: x[x > 0],
    "to mask": lambda x: x.index_put_((x > 0,), torch.zeros(())),
    "unique": lambda x: x.unique(),
}


@pytest.mark.parametrize("wait", WAITING.values(), ids=WAITING)
def test_the_guard_sees_waiting(wait):
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        wait(torch.ones(3))


@pytest.mark.parametrize("spec", [EVERYTHING, CIFAR.large, CIFAR.small, DIGITS.large], ids=lambda spec: f"{spec.size}")
def test_nothing_waits_for_the_device(spec, every_view_at_once):
    images, views = sample_images("noise", 4), ViewPipeline([spec, spec], MEAN, STD)
    with NoWaiting():
        views(images, seeded())
        views.finish([images[..., : spec.size, : spec.size]] * 2, seeded())


def test_views_compile_without_a_break(every_view_at_once):
    images, views = sample_images("photo", 4), ViewPipeline([EVERYTHING], MEAN, STD)
    params = draw_view(EVERYTHING, 4, 32, 32, seeded())
    compiled = torch.compile(views.apply, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images, EVERYTHING, params), views.apply(images, EVERYTHING, params))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("spec", [EVERYTHING, CIFAR.large, CIFAR.small], ids=lambda spec: f"{spec.size}")
def test_gpu_gives_the_same_views_without_waiting(spec):
    images, views = sample_images("photo", 16), ViewPipeline([spec, spec], *RAW)
    params = draw_view(spec, 16, 32, 32, seeded())
    finish = params.finish
    expected = views.apply(images, spec, params)
    on_gpu = replace(
        params,
        crop=replace(params.crop, box=params.crop.box.cuda(), flip=params.crop.flip.cuda()),
        finish=FinishParams(**{name: None if v is None else v.cuda() for name, v in vars(finish).items()}),
    )
    ours = views.apply(images.cuda(), spec, on_gpu)
    assert (ours.cpu() - expected).abs().mean() < 0.5
    generator, images = torch.Generator("cuda").manual_seed(0), images.cuda()
    views(images, generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        views(images, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
