"""Targets: nothing that is not this program's is overwritten, and what cannot be written is found before the work."""

import os
import shutil

import pytest
from PIL import Image

import evaluate as evaluate_contrastive
import main_evaluate
import main_predict
from tests.conftest import tiny_discovery, tiny_disentangling, tiny_pretraining
from tests.utils.data.makers import pixels
from utils import cli, targets
from utils.errors import UserError


def parse(stage, *words):
    return cli.parse(stage, list(map(str, words)))


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels(8, 8, 3)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def predict(tiny_run, photos, tmp_path):
    """Run main_predict.py on two photographs, with further flags."""
    shutil.copy(tiny_run[0] / "last.ckpt", tmp_path / "last.ckpt")

    def run(*words):
        given = ["--checkpoint", tmp_path / "last.ckpt", "--images", photos]
        return main_predict.main(parse("predict", *given, *words))

    return run


@pytest.mark.parametrize("flag", ["out", "export"])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("photos/a.png", "is no older (table|exported network) of this program, or was edited; .*--force"),
        ("notes.csv", "is there already and is no older"),
        ("last.ckpt", "are one file"),
        ("link.ckpt", "are one file"),
        ("photos", "photos is a folder; give the name of a file"),
        ("notes.csv/p.csv", r"cannot be written \(Not a directory\)"),
        ("/proc/none/p.csv", "cannot be written"),
        ("/dev/null", "/dev/null is a device"),
    ],
)
def test_predictions_spare_what_is_there(predict, tmp_path, monkeypatch, flag, target, message):
    monkeypatch.setattr("utils.inference.discovery_checkpoint.load_discoverer", lambda path: pytest.fail("work began"))
    (tmp_path / "notes.csv").write_text("image;my own notes\n")
    (tmp_path / "link.ckpt").symlink_to("last.ckpt")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        predict(f"--{flag}", tmp_path / target)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_older_table_is_replaced_and_force_replaces_anything(predict, photos, tmp_path):
    out = tmp_path / "p.csv"
    assert predict("--out", out) == predict("--out", out) == 0
    assert out.read_text().startswith("image,prediction")
    table = out.read_text()
    for edited in (table.replace("\n", ",my correction\n", 1), table.replace("\n", "\r\n"), "my own\n"):
        out.write_bytes(edited.encode())
        with pytest.raises(UserError, match=r"is no older table of this program, or was edited; .*--force"):
            predict("--out", out)
        assert out.read_bytes() == edited.encode()
    assert predict("--out", out, "--force") == 0
    assert out.read_text().startswith("image,prediction")
    with pytest.raises(UserError, match=r"last\.ckpt"):
        predict("--out", tmp_path / "last.ckpt", "--force")
    notes = tmp_path / "p.errors.csv"
    notes.write_text("my own\n")  # which a run without errors removed
    with pytest.raises(UserError, match=r"p\.errors\.csv is there already"):
        predict("--out", out)
    assert notes.read_text() == "my own\n"
    with pytest.raises(UserError, match="--out and --export are one file"):
        predict("--out", tmp_path / "x", "--export", tmp_path / "x")


def test_an_older_network_is_replaced(predict, tmp_path):
    pytest.importorskip("onnxscript")
    assert predict("--export", tmp_path / "x.onnx", "--out", tmp_path / "p.csv") == 0
    assert targets.NETWORK.recognises(tmp_path / "x.onnx")
    targets.require_target("export", tmp_path / "x.onnx", targets.NETWORK)


@pytest.mark.parametrize("flag", ["sheets", "copy_into"])
def test_folders_for_images_that_cannot_be(predict, tmp_path, flag):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"--{flag} .*cannot be written \(Not a directory\)"):
        predict("--out", tmp_path / "p.csv", f"--{flag}", tmp_path / "file" / "folder")
    assert not (tmp_path / "p.csv").exists()


def test_evaluation_spares_what_is_there(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.inference.evaluate_checkpoint.evaluate", lambda args: {"acc": 0.5})
    shutil.copy(tiny_run[0] / "last.ckpt", tmp_path / "last.ckpt")
    given = ["--checkpoint", tmp_path / "last.ckpt"]
    for _ in range(2):
        main_evaluate.main(parse("evaluate", *given))
    assert (tmp_path / "evaluation.json").is_file()
    (tmp_path / "mine.json").write_text('{"settings": {"a": 1}}')
    for out, message in (
        ("mine.json", "is there already and is no older file of metrics"),
        ("last.ckpt", "is the file that is read"),
        ("", "is a folder"),
    ):
        with pytest.raises(UserError, match=message):
            main_evaluate.main(parse("evaluate", *given, "--out", tmp_path / out))
    main_evaluate.main(parse("evaluate", *given, "--out", tmp_path / "mine.json", "--force"))
    (tmp_path / "report.html").write_text("<html>my own</html>")
    with pytest.raises(UserError, match=r"report\.html is there already and is no older report"):
        main_evaluate.main(parse("evaluate", *given, "--report"))
    shutil.copy(tiny_run[0] / "report.html", tmp_path)
    main_evaluate.main(parse("evaluate", *given, "--report"))


@pytest.mark.parametrize("name", ["clusters.csv", "metrics.json", "tsne.png"])
def test_contrastive_evaluation_spares_what_is_there(tmp_path, name):
    (tmp_path / f"out.{name}").write_text("my own")
    words = ["--dataset", "digits", "--model", tmp_path / "absent.pth", "--tsne", "--out", tmp_path / "out"]
    with pytest.raises(UserError, match=rf"out\.{name} is there already"):
        evaluate_contrastive.main(parse("cluster", *words))
    with pytest.raises(UserError, match=r"no file .*absent\.pth"):
        evaluate_contrastive.main(parse("cluster", *words, "--force"))


@pytest.mark.parametrize(
    ("run", "flag"),
    [
        (tiny_pretraining, "checkpoint_dir"),
        (tiny_pretraining, "log_dir"),
        (tiny_discovery, "log_dir"),
        (tiny_disentangling, "log_dir"),
        (tiny_disentangling, "model_dir"),
    ],
)
@pytest.mark.parametrize("place", ["file", "file/deeper", "/proc/none", "n" * 256])
def test_training_finds_what_cannot_be_written_before_the_data(tmp_path, monkeypatch, run, flag, place):
    monkeypatch.setattr("utils.experiment.get_datamodule", lambda *args: pytest.fail("work began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"--{flag} .*(is a file|cannot be written \(.*\)|longer than 255 bytes)"):
        run(tmp_path, f"--{flag}", str(tmp_path / place))


def test_a_full_disk_is_found_before_the_work(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.experiment.get_datamodule", lambda *args: pytest.fail("work began"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        tiny_discovery(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_room_for_a_checkpoint(tmp_path):
    targets.require_space(tmp_path / "to" / "come", 1 << 20)
    with pytest.raises(UserError, match=r"B left and one checkpoint of this network takes 1\.0 EiB"):
        targets.require_space(tmp_path, 1 << 60)
