"""A dataset as a backbone sees it: the dataset's laws, the backbone's size, normalisation and interpolation."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from utils.data.backbone_views import seen_by
from utils.data.images import to_square
from utils.data.specs import dataset_spec
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.spec import BICUBIC, BackboneData, PadCrop, ResizedCrop

DATA = BackboneData((0.5, 0.4, 0.3), (0.5, 0.2, 0.1), 96, BICUBIC)


def test_laws_are_the_datasets_and_the_rest_the_backbones():
    spec, own = seen_by(dataset_spec("CIFAR10"), DATA), dataset_spec("CIFAR10")
    assert (spec.mean, spec.std, spec.image_size) == (DATA.mean, DATA.std, 96)
    assert spec.large == replace(
        own.large, size=96, crops=(PadCrop(4, size=32), ResizedCrop((0.5, 1.0))), interpolation=BICUBIC
    )
    assert spec.small == replace(own.small, size=54, interpolation=BICUBIC)
    assert (spec.evaluation.size, spec.evaluation.resize, spec.evaluation.interpolation) == (96, None, BICUBIC)


def test_photographs_keep_the_centre_of_evaluation():
    spec = seen_by(dataset_spec("ImageNet"), replace(DATA, size=112))
    assert (spec.evaluation.size, spec.evaluation.resize) == (112, 128)
    assert (spec.large.size, spec.small.size) == (112, 48)


def test_a_backbone_of_one_size_sees_all_views_in_it():
    spec = seen_by(dataset_spec("CIFAR10"), replace(DATA, fixed_size=True))
    assert (spec.large.size, spec.small.size) == (96, 96)


@pytest.mark.parametrize("size", [16, 30])
def test_the_blur_fits_small_views(size):
    spec = seen_by(dataset_spec("ImageNet"), replace(DATA, size=size))
    for view in (spec.large, spec.small):
        assert view.blur.kernel_size <= 2 * view.size - 1
        assert view.blur.kernel_size % 2


def test_the_datamodule_gives_its_images(datamodule):
    module, own = datamodule(backbone_data=asdict(replace(DATA, size=48))), datamodule()
    assert module.image_size == own.spec.image_size
    assert torch.equal(module.train_images, own.train_images)  # kept at their own size
    views, _ = next(iter(module.train_dataloader()))
    assert {tuple(view.shape[1:]) for view in views} == {(3, 48, 48)}
    images, _ = next(iter(module.val_dataloader()[0]))
    assert images.shape[1:] == (3, 48, 48)


def test_files_of_small_images_are_seen_as_arrays_are():
    rng = np.random.default_rng(0)
    array = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    spec = seen_by(dataset_spec("CIFAR10"), DATA)
    pipeline = EvalPipeline(spec.evaluation, spec.mean, spec.std)
    square = Image.fromarray(to_square(array, 96, spec.evaluation.interpolation))
    file = pipeline.finish(pipeline.worker_view(square)[None])
    images = torch.from_numpy(np.array(array)).permute(2, 0, 1)[None]
    assert (file - pipeline(images)).abs().max() < 1.3 / 255 / min(spec.std)
