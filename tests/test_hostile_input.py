"""Broken and hostile files: a plain result or one line for the user, never a traceback, a hang, or code that runs.

``HYPOTHESIS_EXAMPLES=5000 pytest tests/test_hostile_input.py`` tries more; the default is a sample for every day.
"""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.utils.data.makers import encoded, pixels
from utils import cli, torch_files
from utils.cli.flags import FAMILIES
from utils.cli.settings_file import read_config
from utils.comparison.protocol_file import read_protocols
from utils.data.containers import SourceRequest
from utils.data.images import list_images, read_image
from utils.data.sources.folder import read_folder
from utils.data.sources.npz import read_npz
from utils.data.sources.plain_pickle import load_plain_pickle
from utils.errors import UserError, printable
from utils.training.checkpoint_io import AtomicCheckpointIO

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import strategies as st  # noqa: E402

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "60"))
fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=10_000,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
EDITS = st.lists(st.tuples(st.sampled_from(["set", "cut", "insert", "repeat"]), st.integers(0), st.binary(max_size=9)))


def edited(data, edits):
    """Bytes after some changes."""
    for kind, place, content in edits:
        place %= len(data) + 1
        if kind == "cut":
            data = data[:place]
        elif kind == "insert":
            data = data[:place] + content + data[place:]
        elif kind == "repeat":
            data = data[:place] + data[place // 2 : place] + data[place:]
        else:
            data = data[:place] + content + data[place + len(content) :]
    return data


class Attack:
    """Unpickled, it would leave a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A whole file of each kind."""
    folder = tmp_path_factory.mktemp("originals")
    np.savez(folder / "x.npz", train_images=pixels(6, 4, 4), train_labels=np.arange(6), test_images=pixels(2, 4, 4))
    torch_files.save_torch(
        folder / "x.ckpt", {"hyper_parameters": {"num_heads": 2}, "state_dict": {"a": torch.ones(3)}}
    )
    for suffix in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        Image.fromarray(pixels(9, 7, 3)).save(folder / f"x.{suffix}")
    (folder / "x.pkl").write_bytes(pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}, protocol=2))
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


READERS = {".npz": read_npz, ".ckpt": torch_files.load_torch, ".pkl": load_plain_pickle}


@pytest.mark.parametrize("suffix", [".npz", ".ckpt", ".pkl", ".png", ".jpeg", ".gif", ".bmp", ".tiff", ".webp", ".ppm"])
def test_edited_files(originals, tmp_path, suffix):
    read = READERS.get(suffix, read_image)
    path = tmp_path / f"x{suffix}"

    @fuzz
    @hypothesis.given(EDITS)
    def check(edits):
        path.write_bytes(edited(originals[suffix], edits))
        with contextlib.suppress(UserError):
            read(path)

    check()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".npz", ".ckpt", ".pkl", ".png"])
def test_arbitrary_bytes(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"

    @fuzz
    @hypothesis.given(st.binary(max_size=300))
    def check(data):
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            READERS.get(suffix, read_image)(path)

    check()


NAMES = [f"--{flag.name}" for family in FAMILIES for rows in family.values() for flag in rows]
WORDS = st.sampled_from([*NAMES, "--", "-h", "--factor_inter"])
VALUES = st.one_of(st.text(max_size=8), st.integers().map(str), st.floats().map(str), st.sampled_from(["digits", "16"]))


@pytest.mark.parametrize("stage", ["pretrain", "discover", "evaluate"])
def test_arbitrary_flags(stage):
    @fuzz
    @hypothesis.given(st.lists(st.one_of(WORDS, VALUES), max_size=6))
    def check(words):
        said, output = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(output):
            try:
                cli.parse(stage, words)
            except SystemExit as stopped:
                code = stopped.code
        assert code == 0 or (code == 2 and said.getvalue().count("\n") == 1)

    check()


def test_code_is_refused_in_each_place_in_words_that_do_not_invite_to_run_it(tmp_path):
    attack = Attack(tmp_path / "owned")
    torch.save({"hyper_parameters": attack, "state_dict": {}}, tmp_path / "x.ckpt")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"data": attack}))
    np.savez(tmp_path / "x.npz", train_images=np.array([attack], object))
    (tmp_path / "y.npz").write_bytes(pickle.dumps(attack))
    (tmp_path / "x.yaml").write_text(f"common: !!python/object/apply:builtins.open [{tmp_path / 'owned'}, w]")
    refused = "it is refused, and nothing of it was run$"
    for read, name, message in [
        (torch_files.load_torch, "x.ckpt", rf"holds code \(\S*open\).*{refused}"),
        (AtomicCheckpointIO().load_checkpoint, "x.ckpt", rf"holds code \(\S*open\).*{refused}"),
        (load_plain_pickle, "x.pkl", rf"holds code \(\S*open\).*{refused}"),
        (read_npz, "x.npz", f"holds pickled objects.*{refused}"),
        (read_npz, "y.npz", f"holds pickled objects.*{refused}"),
        (read_config, "x.yaml", "could not determine a constructor"),
        (read_protocols, "x.yaml", "could not determine a constructor"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            read(tmp_path / name)
        assert "allow_pickle" not in str(error.value)
        assert "weights_only" not in str(error.value)
    assert not (tmp_path / "owned").exists()


def test_an_npz_that_claims_to_be_huge(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 32, 32, 3)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train_images.npy", header.getvalue())
    with pytest.raises(UserError, match=r"x\.npz cannot be read"):
        read_npz(tmp_path / "x.npz")


def test_an_animation_is_its_first_picture_and_huge_exif_is_harmless(tmp_path):
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (200, 10)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "x.png").getpixel((0, 0)) == (200, 0, 0)
    (tmp_path / "y.jpg").write_bytes(encoded())
    exif = Image.Exif()
    exif[0x9286] = b"x" * 60_000
    Image.open(tmp_path / "y.jpg").save(tmp_path / "z.jpg", exif=exif)
    assert read_image(tmp_path / "z.jpg").size == (40, 30)


def test_a_bomb_is_refused(tmp_path):
    """A few kilobytes that would be 40 gigabytes of pixels."""
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "png")
    data = bytearray(small.getvalue())
    data[16:24] = (120_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(UserError, match=r"bomb\.png cannot be read"):
        read_image(tmp_path / "bomb.png")


STRANGE = [b"with space", b"new\nline", b"\xff\xfe not utf-8", "ünïcode".encode(), b"<script>alert(1)<_script>"]


def test_folders_with_strange_names_and_loops(tmp_path):
    root = os.fsencode(tmp_path)
    for name in STRANGE:
        folder = os.path.join(root, b"train", name)
        os.makedirs(folder)
        Image.fromarray(pixels(6, 6, 3)).save(os.fsdecode(os.path.join(folder, name + b".png")))
        os.symlink(os.path.join(root, b"train"), os.path.join(folder, b"loop"))
        os.symlink(b"../nowhere", os.path.join(folder, b"broken"))
    assert len(list_images(tmp_path / "train")) == len(STRANGE)
    source = read_folder(SourceRequest("folder", tmp_path))
    assert len(source.class_names) == len(STRANGE)
    for name in source.class_names:
        shown = printable(name)
        shown.encode()
        assert "\n" not in shown


def test_printable():
    assert printable("a\nb\udcffc\x1b[31m ü") == "a\\nb\\udcffc\\x1b[31m ü"
    assert Path(printable("plain/path.png")) == Path("plain/path.png")
