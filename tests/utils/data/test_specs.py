"""The table of datasets against the published settings: laws of the views, statistics, stems, evaluation."""

from dataclasses import replace

import pytest

from utils.data.specs import DATASETS, contrastive_view, dataset_spec
from utils.transforms.spec import Blur, EvalSpec, Jitter, PadCrop, ResizedCrop, ViewSpec

ASPECT = (3 / 4, 4 / 3)
JITTER = (0.4, 0.4, 0.2, 0.1)  # brightness, contrast, saturation, hue
CIFAR_LARGE = ViewSpec(
    32,
    (PadCrop(4, None), ResizedCrop((0.5, 1.0), ASPECT)),
    flip=0.5,
    jitter=Jitter(*JITTER, p=0.6),
    solarize=0.1,
    equalize=0.1,
)
CIFAR_SMALL = ViewSpec(
    18, (ResizedCrop((0.3, 0.8), ASPECT),), flip=0.5, jitter=Jitter(*JITTER, p=0.8), solarize=0.2, equalize=0.2
)
IMAGENET_LARGE = ViewSpec(
    224,
    (ResizedCrop((0.5, 1.0), ASPECT),),
    flip=0.5,
    jitter=Jitter(*JITTER, p=0.5),
    grayscale=0.2,
    blur=Blur(0.2, (0.1, 2.0), 23),
)
IMAGENET_SMALL = ViewSpec(
    96,
    (ResizedCrop((0.08, 0.5), ASPECT),),
    flip=0.5,
    jitter=Jitter(*JITTER, p=0.8),
    grayscale=0.2,
    blur=Blur(0.5, (0.1, 2.0), 23),
)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PUBLISHED = {  # mean, std; large view, small view, view of evaluation; the stem for small images, half batches
    "CIFAR10": ((0.491, 0.482, 0.447), (0.202, 0.199, 0.201), CIFAR_LARGE, CIFAR_SMALL, EvalSpec(32), True, False),
    "CIFAR100": ((0.507, 0.487, 0.441), (0.267, 0.256, 0.276), CIFAR_LARGE, CIFAR_SMALL, EvalSpec(32), True, False),
    "ImageNet": (*IMAGENET, IMAGENET_LARGE, IMAGENET_SMALL, EvalSpec(224, resize=256), False, True),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_discovery_has_the_published_settings(name):
    spec = DATASETS[name]
    found = (spec.mean, spec.std, spec.large, spec.small, spec.evaluation, spec.low_res, spec.half_batches)
    assert found == PUBLISHED[name]
    assert spec.image_size == spec.large.size


@pytest.mark.parametrize(
    ("dataset", "size", "large", "small", "evaluation"),
    [
        ("CIFAR10", 64, replace(CIFAR_LARGE, size=64, crops=(PadCrop(8), CIFAR_LARGE.crops[1])), 36, EvalSpec(64)),
        ("CIFAR10", 65, replace(IMAGENET_LARGE, size=65), 28, EvalSpec(65, resize=74)),
        ("folder", 112, replace(IMAGENET_LARGE, size=112), 48, EvalSpec(112, resize=128)),
        ("ImageNet", 32, replace(IMAGENET_LARGE, size=32), 14, EvalSpec(32, resize=37)),
    ],
)
def test_another_size_has_the_laws_of_its_kind(dataset, size, large, small, evaluation):
    spec = dataset_spec(dataset, size)
    published = CIFAR_SMALL if spec.low_res else IMAGENET_SMALL
    assert spec.large == large
    assert spec.small == replace(published, size=small)
    assert (spec.evaluation, spec.low_res) == (evaluation, size <= 64 and dataset != "ImageNet")


def test_digits_are_neither_flipped_nor_recoloured():
    spec = DATASETS["digits"]
    for view in (spec.large, spec.small, spec.contrastive(12, 0.5, False)):
        assert (view.flip, view.rotation, view.grayscale, view.solarize, view.equalize) == (0, 15, 0, 0, 0)
        assert (view.jitter.saturation, view.jitter.hue) == (0, 0)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_contrastive_view_is_the_published_one(strength):
    s = 0.8 * strength
    jitter = Jitter(s, s, s, s / 4, p=0.8)
    view = ViewSpec(224, (ResizedCrop((0.08, 1.0), ASPECT),), flip=0.5, jitter=jitter, grayscale=0.2)
    assert contrastive_view(224, strength, False) == view
    assert contrastive_view(224, strength, True) == replace(view, blur=Blur(0.5, (0.1, 2.0), 23))
    assert contrastive_view(8, strength, True).blur.kernel_size == 15  # what fits
