"""What is shown and named is the file itself, also where training holds a small copy of it."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from utils.data.containers import SourceRequest
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.disentangling_datamodule import ContrastiveDataModule
from utils.data.images import thumbnail
from utils.data.sources.small_imagenets import read_tiny_imagenet
from utils.report.collect import Collection
from utils.report.contrastive_report import _clusters_csv


@pytest.fixture
def photos(tmp_path):
    """Two known classes, and a heap: photographs of other sizes than any that a network sees."""
    sizes = iter([(300, 200), (200, 300), (640, 100), (90, 90)] * 4)
    random = np.random.default_rng(0)
    for folder, count in (("train/a", 4), ("train/b", 4), ("unlabeled", 5), ("test/a", 2), ("test/b", 1)):
        (tmp_path / folder).mkdir(parents=True)
        for turn in range(count):
            pixels = random.integers(0, 256, (3, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize(next(sizes)).save(tmp_path / folder / f"photo {turn}.png")
    return tmp_path


def datamodule(folder, image_size):
    counts = {"batch_size": 4, "num_labeled_classes": 2, "num_unlabeled_classes": 2}
    data = NCDDataModule(mode="discover", dataset="folder", data_dir=folder, image_size=image_size, **counts)
    data.setup("fit")
    return data


@pytest.mark.parametrize("image_size", [16, 96])  # in memory, on disk
def test_a_tile_is_the_original_file_with_its_name(photos, image_size):
    found = Collection(None, datamodule(photos, image_size), {})
    for place, folder, count in (("unlab/train", "unlabeled", 5), ("lab/test", "test", 3), ("lab/train", "train", 8)):
        files = sorted((photos / folder).rglob("*.png"))
        assert len(files) == count
        for row, file in enumerate(files):
            assert found.file_name(place, row) == str(file)
            original = Image.open(file)
            picture = found.picture(place, row, 200)
            scale = min(1, 200 / max(original.size))
            assert picture.shape == (round(original.height * scale), round(original.width * scale), 3)
            if scale == 1:
                np.testing.assert_array_equal(picture, original)


def test_without_files_the_index_is_that_of_the_dataset_s_own_array(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2] * 4)
    labels[[1, 5]] = -1  # of the test images nobody knows these
    np.savez(
        tmp_path / "x.npz", train_images=images, train_labels=[0, 1, 2] * 4, test_images=images, test_labels=labels
    )
    counts = {"batch_size": 4, "num_labeled_classes": 2, "num_unlabeled_classes": 1}
    data = NCDDataModule(mode="discover", dataset=f"npz:{tmp_path / 'x.npz'}", data_dir=tmp_path, **counts)
    data.setup("fit")
    found = Collection(None, data, {})
    for place, rows in (("unlab/test", [2, 8, 11]), ("lab/test", [0, 3, 4, 6, 7, 9, 10])):
        assert [found.file_name(place, row) for row in range(len(rows))] == [f"test {row}" for row in rows]
        for row, position in enumerate(rows):
            np.testing.assert_array_equal(found.picture(place, row, 200), images[position])


def test_small_copies_of_tiny_imagenet_know_their_files(tmp_path):
    for name in ("n1", "n2"):
        folder = tmp_path / "tiny-imagenet-200" / "train" / name / "images"
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(folder / f"{name}_0.JPEG")
    source = read_tiny_imagenet(SourceRequest("tiny-imagenet", tmp_path))
    assert [path.rsplit("/", 1)[1] for path in source.train_paths] == ["n1_0.JPEG", "n2_0.JPEG"]
    assert source.test_paths == []


@pytest.mark.parametrize("image_size", [16, 96])
def test_clusters_csv_names_files(photos, image_size):
    data = ContrastiveDataModule(dataset="folder", data_dir=photos, batch_size=4, image_size=image_size)
    data.setup("validate")
    evaluation = SimpleNamespace(labels=data.targets[data.rows], clusters={"backbone": np.zeros(len(data.rows), int)})
    rows = list(csv.DictReader(_clusters_csv(evaluation, data).splitlines()))
    files = [str(path) for part in ("train", "unlabeled", "test") for path in sorted((photos / part).rglob("*.png"))]
    assert [row["image"] for row in rows] == files


def test_a_thumbnail_is_upright_and_of_a_large_jpeg_as_sharp_as_of_all_its_pixels(tmp_path):
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((1600, 1200))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    smooth.save(tmp_path / "large.jpg", quality=95, exif=exif)
    found = thumbnail(tmp_path / "large.jpg", 200)
    expected = smooth.rotate(-90, expand=True).resize((150, 200), Image.Resampling.LANCZOS)
    assert found.shape == (200, 150, 3)
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 2
