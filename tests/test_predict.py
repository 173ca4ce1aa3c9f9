"""main_predict.py: a checkpoint applied to a folder of images, and the same network as ONNX."""

import ast
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import main_predict
from tests.conftest import ROOT, read_table
from utils import cli
from utils.data.images import read_image, to_square
from utils.data.sources.digits import read_digits
from utils.errors import UserError
from utils.evaluation.predictions import output_names, read_outputs
from utils.inference.discovery_checkpoint import load_discoverer


def run(*words):
    return main_predict.main(cli.parse("predict", list(map(str, words))))


@pytest.fixture
def photos(tmp_path):
    """Digits as PNG files of several sizes and modes, in two folders, two of them of one name."""
    images = read_digits(None).test_images
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    names = ["a.png", "b.png", "c.jpg", "deep/a.png", "deep/er/d.png"]
    for name, pixels, size in zip(names, images, [(8, 8), (30, 20), (64, 90), (8, 8), (1, 5)], strict=False):
        Image.fromarray(pixels).convert("L" if name == "b.png" else "RGB").resize(size).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"no image")
    return folder


def test_the_table_is_what_the_formulas_give(tiny_run, photos, tmp_path):
    checkpoint = tiny_run[0] / "last.ckpt"
    out = tmp_path / "out" / "predictions.csv"
    assert run("--checkpoint", checkpoint, "--images", photos, "--out", out, "--eval_batch_size", 2) == 0
    table = read_table(out)
    assert [row["image"] for row in table] == sorted(map(str, [*photos.rglob("[!.]*.png"), *photos.rglob("*.jpg")]))
    assert not out.with_name("predictions.errors.csv").exists()

    module = load_discoverer(checkpoint).eval()
    model, best, names = module.model, int(module.best_head), output_names(module.hparams)
    assert names[:5] == list("01234")
    assert names[5:] == [f"novel-{cluster}" for cluster in range(5)]
    for row in table:
        pixels = torch.tensor(to_square(read_image(row["image"]), 8)).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            outputs = model((pixels - 0.305) / 0.376)
        logits = torch.cat([outputs["logits_lab"][0], outputs["logits_unlab"][best, 0]])
        probabilities = torch.softmax(logits / 0.1, dim=0)
        order = probabilities.argsort(descending=True)
        assert row["prediction"] == names[order[0]]
        assert float(row["probability"]) == pytest.approx(float(probabilities[order[0]]), abs=1e-4)
        margin = float(probabilities[order[0]] - probabilities[order[1]])
        assert float(row["margin"]) == pytest.approx(margin, abs=1e-4)
        if order[0] < 5:
            feature, prototype = outputs["feats"][0], model.head_lab.prototypes.weight[order[0]]
        else:
            feature = outputs["proj_feats_unlab"][best, 0]
            prototype = model.head_unlab.prototypes[best].prototypes.weight[order[0] - 5]
        cosine = float(torch.nn.functional.cosine_similarity(feature, prototype, dim=0).detach())
        assert float(row["distance"]) == pytest.approx(1 - cosine, abs=1e-4)
        assert int(row["cluster"]) == int(logits[5:].argmax())


def test_among_novel_classes_alone(tiny_run, photos, tmp_path):
    checkpoint = tiny_run[0] / "last.ckpt"
    flags = ["--checkpoint", checkpoint, "--images", photos]
    run(*flags, "--out", tmp_path / "all.csv")
    run(*flags, "--out", tmp_path / "novel.csv", "--novel_only")
    for both, novel in zip(read_table(tmp_path / "all.csv"), read_table(tmp_path / "novel.csv"), strict=True):
        assert novel["prediction"] == f"novel-{both['cluster']}" == f"novel-{novel['cluster']}"
        if both["prediction"] == novel["prediction"]:  # the same prototype
            assert novel["distance"] == both["distance"]
        assert float(novel["probability"]) >= 1 / 5 - 1e-4


def test_unreadable_files_are_listed_and_the_rest_goes_on(tiny_run, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:70])
    flags = ["--checkpoint", tiny_run[0] / "last.ckpt", "--images", photos, "--out", tmp_path / "p.csv"]
    for workers in (0, 2):
        assert run(*flags, "--num_workers", workers, "--eval_batch_size", 3) == 1
        assert len(read_table(tmp_path / "p.csv")) == 5
        errors = read_table(tmp_path / "p.errors.csv")
        assert [row["image"] for row in errors] == [str(photos / "broken.jpg"), str(photos / "cut.png")]
        assert "cannot identify" in errors[0]["reason"]
    (photos / "broken.jpg").unlink()
    (photos / "cut.png").unlink()
    assert run(*flags) == 0
    assert not (tmp_path / "p.errors.csv").exists()


def test_a_folder_of_broken_files_leaves_empty_tables(tiny_run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").write_bytes(b"")
    flags = ["--checkpoint", tiny_run[0] / "last.ckpt", "--images", tmp_path / "photos", "--out", tmp_path / "p.csv"]
    assert run(*flags, "--sheets", tmp_path / "sheets", "--copy_into", tmp_path / "sorted") == 1
    assert read_table(tmp_path / "p.csv") == []
    assert not (tmp_path / "sorted").exists()


def test_a_process_that_dies_while_it_decodes_is_told(tiny_run, photos, tmp_path, monkeypatch):
    def broken(loader):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", broken)
    with pytest.raises(UserError, match="a process that decodes images has died"):
        run("--checkpoint", tiny_run[0] / "last.ckpt", "--images", photos, "--out", tmp_path / "p.csv")


def test_a_sorted_copy_and_sheets(tiny_run, photos, tmp_path):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    out, sheets, copies = tmp_path / "p.csv", tmp_path / "sheets", tmp_path / "sorted"
    flags = ["--checkpoint", tiny_run[0] / "last.ckpt", "--images", photos, "--out", out]
    assert run(*flags, "--sheets", sheets, "--copy_into", copies) == 0
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before
    predicted = {row["image"]: row["prediction"] for row in read_table(out)}
    assert sorted(path.stem for path in sheets.iterdir()) == sorted(set(predicted.values()))
    assert all(Image.open(path).width > 500 for path in sheets.iterdir())
    found = {path.stat().st_ino: path.parent.name for path in copies.rglob("*") if path.is_file()}
    assert found == {(photos / name).stat().st_ino: predicted[name] for name in predicted}
    with pytest.raises(UserError, match=r"--copy_into .*sorted is there already"):
        run(*flags, "--copy_into", copies)


def copies_of(paths, folder):
    """What ``copy_sorted`` makes of images that are all of one class."""
    from utils.inference import predict_folder

    count = len(paths)
    predictions = SimpleNamespace(labels=np.arange(count), output=np.zeros(count, int))
    return predict_folder.copy_sorted(predictions, list(map(str, paths)), ["cat"], folder)


@pytest.mark.parametrize("copied", [0, 2])
def test_long_names_stay_two(photos, tmp_path, monkeypatch, copied):
    if copied:
        monkeypatch.setattr("os.link", lambda *args: (_ for _ in ()).throw(OSError("another disk")))
    name = "é" * 125 + ".png"  # 254 bytes
    paths = [photos / name, photos / "deep" / name]
    for path in paths:
        path.write_bytes((photos / "a.png").read_bytes())
    assert copies_of(paths, tmp_path / "sorted") == (copied, {})
    assert len(list((tmp_path / "sorted" / "cat").iterdir())) == 2


def test_a_copy_is_whole_or_not_there(photos, tmp_path, monkeypatch):
    from utils.inference import predict_folder

    def full(source, target):
        target.write(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predict_folder.os, "link", lambda *args: (_ for _ in ()).throw(OSError("another disk")))
    monkeypatch.setattr(predict_folder.shutil, "copyfileobj", full)
    copied, failed = copies_of([photos / "a.png"], tmp_path / "sorted")
    assert copied == 0
    assert list(failed) == [f"the copy of {photos / 'a.png'}"]
    assert not list((tmp_path / "sorted" / "cat").iterdir())


def test_no_copy_goes_where_a_link_leads(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *args: (_ for _ in ()).throw(OSError("another disk")))
    (tmp_path / "sorted" / "cat").mkdir(parents=True)
    (tmp_path / "sorted" / "cat" / "a.png").symlink_to(tmp_path / "elsewhere")
    assert copies_of([photos / "a.png"], tmp_path / "sorted") == (1, {})
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "sorted" / "cat" / "a-2.png").read_bytes() == (photos / "a.png").read_bytes()


def test_two_files_of_one_name_stay_two_and_copies_replace_links(tiny_run, photos, tmp_path, monkeypatch):
    from utils.inference import predict_folder

    predictions = predict_folder.apply(
        load_discoverer(tiny_run[0] / "last.ckpt"), [str(photos / "a.png")], "cpu", 4, 0
    )[0]
    paths = [str(photos / "a.png"), str(photos / "deep" / "a.png")]
    twice = type(predictions)(
        **{name: np.repeat(value, 2, axis=-1) for name, value in vars(predictions).items() if name != "features"},
        features=predictions.features,
    )
    object.__setattr__(twice, "labels", np.array([0, 1]))
    monkeypatch.setattr(predict_folder.os, "link", lambda *args: (_ for _ in ()).throw(OSError("another disk")))
    names = [f"class{i}" for i in range(10)]
    assert predict_folder.copy_sorted(twice, paths, names, tmp_path / "sorted") == (2, {})
    copies = sorted((tmp_path / "sorted").rglob("*.png"))
    assert [path.name for path in copies] == ["a-2.png", "a.png"]
    assert copies[0].read_bytes() == (photos / "deep" / "a.png").read_bytes()
    assert copies[0].stat().st_nlink == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to do"),
        (["--images", "absent"], "--images absent: there is no such folder"),
        (["--images", "{empty}"], "no image in this folder"),
        (["--images", "{photos}", "--copy_into", "{photos}/sorted"], "lies in --images"),
        (["--images", "{photos}", "--sheets", "{photos}/deep"], "is there already"),
        (["--export", "x.onnx", "--sheets", "sheets"], "--sheets needs --images"),
        (["--images", "{photos}", "--gpus", "99"], "--gpus 99 but this machine has"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(tiny_run, photos, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    words = [word.format(photos=photos, empty=tmp_path / "empty") for word in words]
    with pytest.raises(UserError, match=message):
        run("--checkpoint", tiny_run[0] / "last.ckpt", "--out", tmp_path / "p.csv", *words)
    assert not (tmp_path / "p.csv").exists()


def test_the_exported_network_gives_the_same_probabilities(tiny_run, tmp_path, monkeypatch, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    checkpoint, path = tiny_run[0] / "last.ckpt", tmp_path / "model.onnx"
    assert run("--checkpoint", checkpoint, "--export", path) == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    module = load_discoverer(checkpoint).eval()
    assert json.loads(metadata["classes"]) == output_names(module.hparams)
    assert metadata["image_size"] == "8"
    for batch in (1, 2, 7):
        pixels = torch.randint(256, (batch, 3, 8, 8), generator=torch.Generator().manual_seed(batch), dtype=torch.uint8)
        probabilities, features = session.run(None, {"images": pixels.numpy()})
        with torch.no_grad():
            outputs = module.model((pixels / 255 - 0.305) / 0.376)
        found = read_outputs(module.model, outputs, int(module.best_head), 0.1)
        np.testing.assert_allclose(features, outputs["feats"], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(probabilities.argmax(axis=1), found["output"])
        np.testing.assert_allclose(probabilities.max(axis=1), found["probability"], atol=1e-5)

    page = (ROOT / "docs" / "predict.md").read_text()  # which shows how to use it, at the quick start's size
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(code.replace("(4, 3, 12, 12)", "(4, 3, 8, 8)"), {})
    assert set(ast.literal_eval(capsys.readouterr().out)) <= set(output_names(module.hparams))
