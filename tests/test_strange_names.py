"""Names that are not UTF-8 or hold line ends: tables, sheets, copies and the report have them all."""

import json
import os
from pathlib import Path

import pytest
import yaml
from PIL import Image

import main_predict
from tests.conftest import read_table, tiny_discovery, tiny_pretraining
from tests.utils.data.makers import pixels
from utils import cli
from utils.errors import UserError
from utils.report import discovery_report, figures
from utils.report.collect import Collection
from utils.report.page import escape

STRANGE = [os.fsdecode(b"caf\xe9"), "new\nline", "\x1b[31mred", "tab\there", "$x_{$", "plain"]
SMALL = ["--dataset", "folder", "--image_size", "8", "--num_labeled_classes", "3", "--num_unlabeled_classes", "3"]
SMALL += ["--batch_size", "6", "--max_epochs", "1", "--warmup_epochs", "0", "--num_workers", "0"]


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Six classes of strange names, images of such names in them, and a discovery run with its report."""
    root = tmp_path_factory.mktemp("strange")
    for part in ("train", "test"):
        for number, name in enumerate(STRANGE):
            folder = root / "data" / part / name
            folder.mkdir(parents=True)
            for image in range(2):
                content = Image.fromarray(pixels(8, 8, 3, seed=10 * number + image))
                content.save(folder / f"{image} {name}.png")
    given = [*SMALL, "--data_dir", str(root / "data")]
    tiny_pretraining(root, *given)
    tiny_discovery(root, *given, "--pretrained", str(root / "pretrain-resnet18-folder-tiny.cp"), "--report")
    return root


def test_a_report(strange):
    folder = strange / "logs" / "run"
    page = (folder / "report.html").read_text(encoding="utf-8")  # valid UTF-8
    assert "Not drawn" not in page
    assert r"caf\udce9" in page
    assert r"new\nline" in page
    assert "\x1b" not in page
    settings = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert set(settings["class_names"]) < set(STRANGE)
    listed = {row["image"] for row in read_table(folder / "figures" / "clusters.csv")}
    assert len(listed) == 6
    assert all(Path(path).is_file() for path in listed)  # the very names of the files


def test_tables_sheets_and_copies(strange, tmp_path, capsys):
    images, out = strange / "data" / "test", tmp_path / os.fsdecode(b"p\xff.csv")
    words = ["--checkpoint", strange / "logs" / "run" / "last.ckpt", "--images", images, "--out", out]
    words += ["--sheets", tmp_path / "sheets", "--copy_into", tmp_path / "copies"]
    (images / "plain" / os.fsdecode(b"broken\xff.png")).write_bytes(b"no image")
    args = cli.parse("predict", list(map(str, words)))
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.run(main_predict.main, args)
    finally:
        (images / "plain" / os.fsdecode(b"broken\xff.png")).unlink()
    assert stopped.value.code == 1  # one file cannot be read
    table = read_table(out)
    assert len(table) == 12
    assert all(Path(row["image"]).is_file() for row in table)
    assert read_table(tmp_path / os.fsdecode(b"p\xff.errors.csv"))[0]["image"].endswith("broken\udcff.png")
    predicted = {row["prediction"] for row in table}
    assert {path.stem for path in (tmp_path / "sheets").iterdir()} == predicted
    copies = sorted(path.name for path in (tmp_path / "copies").rglob("*.png"))
    assert copies == sorted(Path(row["image"]).name for row in table)
    assert r"p\udcff.csv: 12 images" in capsys.readouterr().out


def test_what_a_page_shows():
    assert escape('a\nb\udce9<script>"') == r"a\nb\udce9&lt;script&gt;&quot;"


@pytest.mark.parametrize(("failing", "heading"), [("features", "Features"), ("confusions", "Confusion")])
def test_a_figure_that_fails_leaves_the_page(tiny_run, tmp_path, monkeypatch, capsys, failing, heading):
    from utils.inference import evaluate_checkpoint

    def fail(*args):
        raise RuntimeError("no room\nfor it")

    monkeypatch.setattr(figures, failing, fail)
    monkeypatch.setattr(discovery_report.clusters, "save_sheets", fail)
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes((tiny_run[0] / "last.ckpt").read_bytes())
    evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(checkpoint), "--report"]))
    page = (tmp_path / "report.html").read_text()
    assert "Not drawn" in page
    assert f"<td>{heading}</td><td>RuntimeError: no room</td>" in page
    assert "<td>clusters.pdf</td><td>RuntimeError: no room</td>" in page
    assert 'id="heads"' in page
    assert 'class="tile"' in page
    assert f"warning: {heading} failed (RuntimeError: no room); the rest goes on" in capsys.readouterr().out


def test_an_image_that_is_gone_is_gray_and_lists_of_an_older_run_go(tiny_run, tmp_path, monkeypatch, capsys):
    from utils.inference import evaluate_checkpoint

    def gone(self, name, row, side):
        raise UserError(f"the image {name} {row} cannot be read")

    monkeypatch.setattr(Collection, "picture", gone)
    monkeypatch.setattr(discovery_report.clusters, "pair_sheets", lambda found: [])
    checkpoint, old = tmp_path / "last.ckpt", tmp_path / "figures" / "confused-pairs.csv"
    checkpoint.write_bytes((tiny_run[0] / "last.ckpt").read_bytes())
    old.parent.mkdir()
    old.write_text("of another run")
    evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(checkpoint), "--report"]))
    assert "Not drawn" not in (tmp_path / "report.html").read_text()
    assert (tmp_path / "figures" / "clusters.csv").is_file()
    assert not old.exists()
    assert "cannot be read; it is gray in the report" in capsys.readouterr().out


def test_a_failing_picture_at_the_end_leaves_the_metrics(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("utils.report.plots.curves.plot_curves", lambda *args: 1 / 0)
    tiny_discovery(tmp_path, "--max_epochs", "1")
    run = tmp_path / "logs" / "run"
    assert json.loads((run / "metrics.json").read_text())["loss"]
    assert (run / "confusion.png").is_file()
    assert "warning: curves.png failed (ZeroDivisionError: division by zero)" in capsys.readouterr().out
