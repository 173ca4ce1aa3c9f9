"""CIFAR in torchvision's format: read without running anything, refused when damaged, downloaded whole."""

import io
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from tests.utils.data.makers import pixels, write_cifar, write_npz
from utils.data.containers import SourceRequest
from utils.data.sources import fetching
from utils.data.sources.cifar_files import CIFAR
from utils.data.sources.plain_pickle import load_plain_pickle
from utils.data.sources.readers import load_source, prepare_source
from utils.errors import UserError


@pytest.mark.parametrize("torchvision_class", [CIFAR10, CIFAR100])
def test_table_is_torchvisions(torchvision_class):
    files = CIFAR[torchvision_class.__name__]
    assert (files.archive, files.archive_md5) == (torchvision_class.filename, torchvision_class.tgz_md5)
    assert files.folder == torchvision_class.base_folder
    assert [*files.train.items()] == [tuple(row) for row in torchvision_class.train_list]
    assert [*files.test.items()] == [tuple(row) for row in torchvision_class.test_list]


@pytest.mark.parametrize(("name", "classes", "batches"), [("CIFAR10", 10, 5), ("CIFAR100", 100, 1)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_torchvision_files(tmp_path, name, classes, batches, protocol):
    parts = write_cifar(tmp_path, name, rows=12, protocol=protocol)
    source = load_source(SourceRequest(name, tmp_path))
    assert source.train_images.shape == (12 * batches, 32, 32, 3)
    assert source.test_images.shape == (12, 32, 32, 3)
    assert len(source.class_names) == classes
    for part, images, labels in (
        ("train", source.train_images, source.train_labels),
        ("test", source.test_images, source.test_labels),
    ):
        data, expected = parts[part]
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert (images == data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
        assert (labels == expected).all()
    assert "torchvision files" in source.origin
    assert CIFAR[name].folder in source.origin


def test_numpy_labels_are_read(tmp_path):
    write_cifar(tmp_path, "CIFAR10", rows=3)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    for labels in ([np.int64(1), np.int64(2), np.int64(3)], np.array([1, 2, 3])):
        path.write_bytes(pickle.dumps({"data": pixels(3, 3072), "labels": labels}))
        assert load_source(SourceRequest("CIFAR10", tmp_path)).test_labels.tolist() == [1, 2, 3]


def test_npz_stands_in_only_where_files_are_absent(tmp_path):
    write_npz(tmp_path / "cifar10.npz", classes=10, each=2, size=32)
    source = load_source(SourceRequest("CIFAR10", tmp_path, download=True))
    assert len(source.train_images) == 20
    assert "cifar10.npz" in source.origin
    write_cifar(tmp_path, "CIFAR10", rows=4)
    assert "torchvision files" in load_source(SourceRequest("CIFAR10", tmp_path)).origin


class Trap:
    """Unpickled the usual way this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickle_cannot_run_code(tmp_path):
    write_cifar(tmp_path, "CIFAR10", rows=4)
    path, trap = tmp_path / "cifar-10-batches-py" / "data_batch_3", tmp_path / "trap"
    path.write_bytes(pickle.dumps({"data": Trap(trap), "labels": [0]}))
    with pytest.raises(UserError, match=r"data_batch_3 .*posix\.mkdir") as raised:
        load_source(SourceRequest("CIFAR10", tmp_path))
    assert "\n" not in str(raised.value)
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists(), "the trap would have worked"


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(V1+1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nexec\n(I0\ntVb\ntR.",
        b"c_codecs\nencode\n(Vx\nVzlib\ntR.",
        pickle.dumps(np.array([Trap("nowhere")])),
        b"\x80",
        b"",
    ],
)
def test_plain_pickle_refuses(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(
        UserError, match=r"file (is damaged or not a file of plain arrays|holds code .*nothing of it was run)"
    ):
        load_plain_pickle(tmp_path / "file")


def test_damaged_files_are_named(tmp_path):
    write_cifar(tmp_path, "CIFAR10", rows=4)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    intact = path.read_bytes()
    damaged = {
        "truncated": intact[: len(intact) // 2],
        "a published file that has changed": b"\x80\x02}q\x01(U\x0bbatch_labelq\x02" + intact,
        "no dictionary": pickle.dumps([1, 2]),
        "other shape": pickle.dumps({"data": pixels(4, 3000), "labels": [0] * 4}),
        "labels missing": pickle.dumps({"data": pixels(4, 3072)}),
        "too few labels": pickle.dumps({"data": pixels(4, 3072), "labels": [0] * 3}),
        "label out of range": pickle.dumps({"data": pixels(4, 3072), "labels": [0, 1, 2, 10]}),
        "label no number": pickle.dumps({"data": pixels(4, 3072), "labels": ["0", "1", "2", "3"]}),
    }
    for name, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match="data_batch_2 is damaged") as raised:
            load_source(SourceRequest("CIFAR10", tmp_path))
        assert "--download" in str(raised.value), name


def test_absent_and_incomplete(tmp_path):
    with pytest.raises(UserError, match=r"--download.*cifar100\.npz"):
        load_source(SourceRequest("CIFAR100", tmp_path))
    write_cifar(tmp_path, "CIFAR10", rows=4)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(UserError, match="no data_batch_4; --download"):
        load_source(SourceRequest("CIFAR10", tmp_path))


@pytest.fixture
def archive(tmp_path):
    """CIFAR-10's archive with small files."""
    made = tmp_path / "made"
    write_cifar(made, "CIFAR10", rows=4)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(made / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(made)
    return buffer.getvalue()


def test_download_unpacks_whole_files(tmp_path, monkeypatch, archive):
    def download(url, path, md5):
        assert url.endswith("cifar-10-python.tar.gz")
        assert md5 == CIFAR10.tgz_md5
        path.write_bytes(archive)

    monkeypatch.setattr(fetching, "download", download)
    request = SourceRequest("CIFAR10", tmp_path / "new", download=True)
    prepare_source(request)
    assert len(load_source(request).train_images) == 20
    assert {path.name for path in request.data_dir.iterdir()} == {"cifar-10-batches-py", "cifar-10-python.tar.gz"}
    monkeypatch.setattr(fetching, "download", None)
    prepare_source(request)  # what is there is not fetched again


@pytest.mark.parametrize("left", [None, b"half an archive"])
def test_failed_download(tmp_path, monkeypatch, left):
    def download(url, path, md5):
        raise OSError("no network\nat all")

    monkeypatch.setattr(fetching, "download", download)
    if left:
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(left)
    with pytest.raises(UserError, match=r"could not be downloaded .*\(no network\)") as raised:
        load_source(SourceRequest("CIFAR10", tmp_path, download=True))
    assert "\n" not in str(raised.value)
    assert ("is damaged or incomplete" in str(raised.value)) == bool(left)


def test_damaged_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "download", lambda *args: None)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz is damaged"):
        load_source(SourceRequest("CIFAR10", tmp_path, download=True))
    assert not (tmp_path / "cifar-10-batches-py").exists()
