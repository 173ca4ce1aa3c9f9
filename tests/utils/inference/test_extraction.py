"""Extraction: the features are those of the obvious loop, wherever it was interrupted and however many workers decode.

Letters: N images, V views, D features.
"""

import os
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from tests.utils.data.makers import pixels, write_folder, write_npz
from utils.data.features.blocks import BLOCK
from utils.data.features.datamodule import VIEWS, FeatureDataModule
from utils.data.features.store import FeatureRequest, FeatureStore
from utils.data.randomness import Stream, stream_seed
from utils.data.selection import to_tensor
from utils.errors import UserError
from utils.inference import extraction
from utils.inference.ahead import made_ahead
from utils.inference.extraction import Extraction, serve_features, weights_digest
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline

V, D = 3, 4
CPU = torch.device("cpu")


class TinyEncoder(nn.Module):
    """Convolution, BatchNorm and a mean; counts its passes, and can be killed at one of them."""

    num_features = D

    def __init__(self, die_at=None, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Conv2d(3, D, 3, stride=2), nn.BatchNorm2d(D), nn.ReLU())
        self.passes, self.die_at = 0, die_at

    def forward(self, images, num_views=1):
        self.passes += 1
        if self.passes == self.die_at:
            raise KeyboardInterrupt
        return self.layers(images).mean(dim=(2, 3))


@pytest.fixture
def arrays(tmp_path):
    """150 training images: two blocks and a part of one."""
    labels = np.arange(150) % 4
    write_npz(tmp_path / "a.npz", train_images=pixels(150, 12, 12, 3), train_labels=labels)
    return {"dataset": f"npz:{tmp_path / 'a.npz'}", "data_dir": str(tmp_path)}


@pytest.fixture
def photos(tmp_path):
    """40 images in folders."""
    write_folder(tmp_path / "photos", unlabeled=5)
    return {"dataset": "folder", "data_dir": str(tmp_path / "photos"), "image_size": 80}


def datamodule(source, feature_views=V, **settings):
    classes = {"num_labeled_classes": 2, "num_unlabeled_classes": 3 if source["dataset"] == "folder" else 2}
    made = FeatureDataModule(
        mode="discover", batch_size=4, feature_views=feature_views, **classes, **source, **settings
    )
    made.prepare_data()
    made.setup("fit")
    return made


def settings_for(folder, **changed):
    defaults = {"feature_seed": 0, "num_workers": 0, "precision": "32", "dataset": "d", "backbone": "tiny", "arch": ""}
    return {**defaults, "feature_cache": str(folder), **changed}


def served(source, folder, encoder=None, feature_views=V, **changed):
    made = datamodule(source, feature_views)
    serve_features(made, encoder or TinyEncoder(), settings_for(folder, **changed), CPU)
    return made


def test_features_are_those_of_the_obvious_loop(arrays, tmp_path):
    made, encoder = served(arrays, tmp_path / "cache"), TinyEncoder().eval()
    images, spec = to_tensor(made.sources["train"]), made.spec
    pipeline = ViewPipeline([spec.large] * V, spec.mean, spec.std)
    for block, part in enumerate(images.split(BLOCK)):
        views = pipeline(part, torch.Generator().manual_seed(stream_seed(Stream.FEATURES, 0, block)))
        expected = torch.stack([encoder(view) for view in views], dim=1)
        found = made.features[VIEWS][block * BLOCK : block * BLOCK + len(part)]
        torch.testing.assert_close(torch.from_numpy(found.copy()).float(), expected, atol=2e-3, rtol=1e-3)
    expected = encoder(EvalPipeline(spec.evaluation, spec.mean, spec.std)(images))
    torch.testing.assert_close(torch.from_numpy(made.features["train"].copy()).float(), expected, atol=2e-3, rtol=1e-3)
    assert made.features["test"].shape == (len(made.sources["test"]), D)


@pytest.mark.parametrize("name", ["unlab/train", "unlab/test", "lab/test"])
@pytest.mark.parametrize("kind", ["arrays", "photos"])
def test_evaluation_serves_the_features_of_the_images_it_would_show(kind, name, tmp_path, request):
    made, encoder = served(request.getfixturevalue(kind), tmp_path / "cache"), TinyEncoder().eval()
    shown, features = list(made.image_loader(name)), list(made.evaluation_loader(name))
    assert torch.cat([labels for _, labels in shown]).equal(torch.cat([labels for _, labels in features]))
    expected = torch.cat([encoder(images) for images, _ in shown])
    torch.testing.assert_close(torch.cat([found for found, _ in features]), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["arrays", "photos"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_extraction_ends_as_one_that_was_not(kind, workers, tmp_path, request, monkeypatch):
    monkeypatch.setattr(extraction, "CHUNK", 1)
    monkeypatch.setattr("utils.data.features.blocks.BLOCK", 8)
    monkeypatch.setattr(extraction, "BLOCK", 8)
    source = request.getfixturevalue(kind)
    whole = served(source, tmp_path / "whole")
    with pytest.raises(UserError, match=r"interrupted: the features of 8 of [\d]+ images are kept; the same command"):
        served(source, tmp_path / "cache", TinyEncoder(die_at=V + 1), num_workers=workers)
    encoder = TinyEncoder()
    resumed = served(source, tmp_path / "cache", encoder, num_workers=workers)
    blocks = sum(-(-len(images) // 8) for images in resumed.sources.values())
    assert encoder.passes == V * (-(-len(resumed.sources["train"]) // 8) - 1) + blocks
    for name in (VIEWS, "train", "test"):
        assert (whole.features[name] == resumed.features[name]).all()


def test_pretraining_another_split_and_another_seed_of_the_run_extract_nothing(arrays, tmp_path):
    served(arrays, tmp_path / "cache")
    encoder = TinyEncoder()
    made = FeatureDataModule(
        mode="pretrain", batch_size=4, feature_views=V, num_labeled_classes=3, num_unlabeled_classes=1, seed=7, **arrays
    )
    made.setup("fit")
    serve_features(made, encoder, settings_for(tmp_path / "cache"), CPU)
    assert encoder.passes == 0
    assert len(next(iter(made.train_dataloader()))[0]) == 2


@pytest.mark.parametrize("changed", [{"feature_seed": 1}, {"precision": "bf16"}, {"encoder": TinyEncoder(seed=1)}])
def test_what_features_depend_on_is_in_their_key(arrays, tmp_path, changed):
    first, other = served(arrays, tmp_path / "cache"), served(arrays, tmp_path / "cache", **changed)
    assert (first.features[VIEWS] != other.features[VIEWS]).any()


def test_more_views_leave_the_features_of_evaluation_as_they_are(arrays, tmp_path):
    served(arrays, tmp_path / "cache")
    encoder = TinyEncoder()
    served(arrays, tmp_path / "cache", encoder, feature_views=V + 1)
    assert encoder.passes == 3 * (V + 1)


def test_without_views_of_its_own_training_sees_the_view_of_evaluation(arrays, tmp_path):
    made = datamodule(arrays, feature_views=0, num_large_crops=1)
    encoder = TinyEncoder()
    serve_features(made, encoder, settings_for(tmp_path / "cache"), CPU)
    assert encoder.passes == 3 + 1  # blocks of training and test images
    loader = made.train_dataloader()
    (view,), _ = next(iter(loader))
    rows = made.source_rows["train"][loader.batch_rows(0, 0)]
    assert np.array_equal(view.numpy(), made.features["train"][rows].astype(np.float32))
    with pytest.raises(UserError, match="--num_large_crops 2, but with --feature_views 0 the one view of evaluation"):
        datamodule(arrays, feature_views=0)


def test_images_that_have_changed_since_are_extracted_again(photos, tmp_path):
    served(photos, tmp_path / "cache")
    path = datamodule(photos).sources["train"][3]
    os.utime(path, (time.time(), time.time() + 10))
    encoder = TinyEncoder()
    served(photos, tmp_path / "cache", encoder)
    assert encoder.passes == V + 1  # the training images alone


def test_the_digest_is_of_names_shapes_and_values_but_not_of_their_precision():
    encoder = TinyEncoder()
    digest = weights_digest(encoder)
    assert weights_digest(TinyEncoder().double()) == digest
    encoder.layers[1].running_mean += 1
    others = (
        encoder,
        torch.nn.Sequential(TinyEncoder()),
        torch.nn.Linear(4, 3, bias=False),
        torch.nn.Linear(6, 2, bias=False),
    )
    with torch.no_grad():
        for other in others[2:]:
            other.weight.zero_()
    assert len({digest, *map(weights_digest, others)}) == 5


def test_small_crops_and_too_many_views_are_refused(arrays):
    with pytest.raises(UserError, match="--multicrop means nothing for a frozen encoder"):
        datamodule(arrays, num_small_crops=2)
    with pytest.raises(UserError, match="--num_large_crops 4, but of each image --feature_views 3 views are kept"):
        datamodule(arrays, num_large_crops=4)


def test_a_damaged_image_is_named(photos, tmp_path):
    path = datamodule(photos).sources["train"][3]
    with open(path, "wb") as file:
        file.write(b"no image")
    for workers in (0, 1):
        with pytest.raises(UserError, match=rf"the image {path} cannot be read"):
            served(photos, tmp_path / "cache", num_workers=workers)


def test_items_are_made_ahead_in_order_and_their_errors_reach_the_user():
    def failing():
        yield from range(3)
        raise UserError("no more")

    assert list(made_ahead(iter(range(20)), 2, True)) == list(range(20))
    assert list(made_ahead(iter(()), 2, True)) == []
    found = []
    with pytest.raises(UserError, match="no more"):
        found.extend(made_ahead(failing(), 2, True))
    threads, running = torch.get_num_threads(), threading.active_count()
    items = made_ahead(iter(range(10**9)), 2, True)
    assert next(items) == 0
    items.close()
    assert (torch.get_num_threads(), threading.active_count()) == (threads, running)


def test_memory_holds_no_more_than_a_chunk(tmp_path):
    """A million images whose blocks are asked for as they are needed."""
    asked = []

    def blocks(first):
        for block in range(first, 64):
            asked.append(block)
            yield [torch.zeros(BLOCK, 3, 8, 8)]

    request = FeatureRequest("many", {}, (64 * BLOCK, D))
    written = []
    for chunk in Extraction(TinyEncoder(), CPU).chunks(request, blocks, 0):
        written.append(len(chunk))
        assert len(asked) <= len(written) * extraction.CHUNK + extraction.AHEAD + 2
    assert sum(written) == 64 * BLOCK
    assert FeatureStore(tmp_path).find(request) is None
