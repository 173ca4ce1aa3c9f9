"""Only files and links to files are images: at a FIFO, a socket or a device a reader would wait for ever."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

import main_predict
from tests.utils.data.makers import pixels
from utils import cli, torch_files
from utils.data.containers import SourceRequest
from utils.data.images import list_images
from utils.data.sources.readers import load_source
from utils.errors import UserError


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    """``photos/`` with an image, a link to it, a link to nowhere, a folder, a FIFO, a socket and a link to a device."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(pixels(6, 6, 3)).save(folder / "a.png")
    (folder / "link.png").symlink_to("a.png")
    (folder / "nowhere.png").symlink_to("absent")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "fifo.png")
    (folder / "device.png").symlink_to("/dev/zero")
    monkeypatch.chdir(folder)  # the path of a socket has to be short
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket.png")
    yield folder
    listening.close()


def test_what_is_no_file_is_passed_over_and_named(odd_folder):
    passed_over = {}
    found = list_images(odd_folder, passed_over)
    assert found == [str(odd_folder / name) for name in ("a.png", "link.png", "nowhere.png")]
    kinds = {os.path.basename(path): kind for path, kind in passed_over.items()}
    assert kinds == {"fifo.png": "FIFO", "socket.png": "socket", "device.png": "device"}


@pytest.mark.parametrize("place", ["train/a", "test/a", "unlabeled"])
def test_training_goes_on_without_them_and_says_so(tmp_path, capsys, place):
    for part in ("train/a", "train/b", "test/a", "unlabeled"):
        (tmp_path / part).mkdir(parents=True)
        Image.fromarray(pixels(6, 6, 3)).save(tmp_path / part / "x.png")
    os.mkfifo(tmp_path / place / "y.png")
    source = load_source(SourceRequest("folder", tmp_path))
    assert (len(source.train_images), len(source.test_images)) == (3, 1)
    said = capsys.readouterr().out
    assert said == f"note: passed over 1: {tmp_path / place / 'y.png'} (FIFO)\n"


@pytest.mark.parametrize("dataset", ["imagenet10", "tiny-imagenet"])
def test_excerpts_of_imagenet_too(tmp_path, capsys, dataset):
    folder = tmp_path / {"imagenet10": "imagenet-10/n1", "tiny-imagenet": "tiny-imagenet-200/train/n1"}[dataset]
    folder.mkdir(parents=True)
    Image.fromarray(pixels(64, 64, 3)).save(folder / "x.png")
    os.mkfifo(folder / "y.png")
    assert np.array_equal(load_source(SourceRequest(dataset, tmp_path)).train_labels, [0])
    assert "passed over 1" in capsys.readouterr().out


def test_prediction_says_it_too(tiny_run, odd_folder, tmp_path, capsys):
    def run(images, out="p.csv"):
        words = ["--checkpoint", tiny_run[0] / "last.ckpt", "--images", images, "--out", tmp_path / out]
        return main_predict.main(cli.parse("predict", list(map(str, words))))

    (odd_folder / "nowhere.png").unlink()
    assert run(odd_folder) == 0
    said = capsys.readouterr().out
    assert "passed over 3: " in said
    assert "fifo.png (FIFO)" in said
    assert (tmp_path / "p.csv").read_text().count("\n") == 3
    with pytest.raises(UserError, match=r"fifo\.png is a FIFO; give a folder"):
        run(odd_folder / "fifo.png")
    (odd_folder / "deep").mkdir()
    os.mkfifo(odd_folder / "deep" / "x.png")
    with pytest.raises(UserError, match=r"no image in this folder \(passed over 1: .*\(FIFO\)\)"):
        run(odd_folder / "deep")


def test_a_checkpoint_is_a_file(odd_folder):
    for name, kind in (("fifo.png", "FIFO"), ("device.png", "device")):
        with pytest.raises(UserError, match=f"is a {kind}; the checkpoint's file is needed"):
            torch_files.load_torch(odd_folder / name)
