"""Weights & Biases: an offline run read back, no login, not installed; the CSV file is there always."""

import importlib.util
import struct
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, read_table, tiny_discovery, tiny_disentangling
from utils.training.loggers import CSVLogger, wandb_logger


def wandb_records(path):
    """Records of a ``.wandb`` file: LevelDB's log format (blocks of 32 KiB) around protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def whole_run(path, patience=60):
    """All records, once the last one is there: W&B's own process writes the file, and may be a moment behind."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        records = list(wandb_records(path))
        if records and records[-1].HasField("exit"):
            return records
        time.sleep(0.2)
    raise AssertionError(f"{path} has no end")


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A machine where nobody has logged in to W&B."""
    pytest.importorskip("wandb", reason="W&B is not installed")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def test_without_login_the_run_is_offline_with_one_line_and_whole(no_login, tmp_path, capfd):
    tiny_discovery(tmp_path, "--wandb", "--max_epochs", "2")
    said = [line for line in "".join(capfd.readouterr()).splitlines() if "W&B" in line]
    assert said == ["W&B: no login on this machine, so the run is logged offline ('wandb sync' uploads it)"]
    folder = tmp_path / "logs" / "run"
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    history: dict[str, list[str]] = {}
    records = whole_run(path)
    (run,) = (record.run for record in records if record.HasField("run"))
    assert run.run_group.startswith("discover-resnet18-digits-5-inter_intra-")
    assert (run.job_type, sorted(run.tags)) == ("discover", ["digits-5", "inter_intra", "seed0"])
    for record in records:
        for item in record.history.item:  # one record for each call of log
            history.setdefault(item.key or "/".join(item.nested_key), []).append(item.value_json)
    rows = read_table(folder / "metrics.csv")
    for name in ("loss", "inter_loss", "intra_loss", "lr", "unlab/test/acc/best", "lab/test/acc", "joint/all"):
        assert [float(value) for value in history[name]] == pytest.approx([float(row[name]) for row in rows]), name
    assert len(history["images_per_second"]) == len(rows)
    assert min(map(float, history["images_per_second"])) > 0
    assert {"curves", "confusion"} <= {name.split("/")[0] for name in history}


def test_wandb_says_nothing_of_its_own_even_without_a_home(no_login, monkeypatch, tmp_path):
    """Its service has no place for its log then, and would write it to the screen."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    code = "import sys; from pathlib import Path; from utils.training.loggers import wandb_logger as w\n"
    code += "w(Path(sys.argv[1]), 'IIC', offline=True)[0].experiment.finish()"
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.glob("run/wandb/offline-run-*"))


def test_contrastive_metrics_and_pictures_of_every_record_are_there(no_login, tmp_path):
    """t-SNE is drawn before the metrics of its epoch are logged; W&B must have both."""
    flags = ["--epochs", "3", "--record_every", "2", "--evaluation_mode", "0.1"]  # of which t-SNE takes a moment
    tiny_disentangling(tmp_path, "--use_wandb", "--tsne", *flags)
    folder = tmp_path / "logs" / "cd"
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    items = [item for record in whole_run(path) for item in record.history.item]
    logged = [float(item.value_json) for item in items if "loss_feature" in (item.key, *item.nested_key)]
    assert logged == pytest.approx([float(row["loss_feature"]) for row in read_table(folder / "metrics.csv")])
    pictures = {
        item.key or item.nested_key[0]
        for item in items
        if "image-file" in item.value_json or "images" in item.value_json
    }
    assert pictures >= {"tsne", "curves"}


def test_a_resumed_run_keeps_its_id_and_its_rows(no_login, tmp_path):
    tiny_discovery(tmp_path, "--offline", "--wandb", "--max_epochs", "1")
    tiny_discovery(tmp_path, "--offline", "--wandb", "--max_epochs", "2", "--resume_from_checkpoint", "auto")
    folder = tmp_path / "logs" / "run" / "wandb"
    run_id = (folder / "id.txt").read_text()
    # Two runs of one second have one name, to which W&B adds -1.
    paths = sorted(folder.glob(f"offline-run-*-{run_id}*/run-{run_id}.wandb"), key=lambda path: path.stat().st_mtime)
    assert len(paths) == len(list(folder.glob("offline-run-*/run-*.wandb"))) == 2
    epochs = []
    for path in paths:
        items = [item for record in whole_run(path) for item in record.history.item]
        epochs.append([float(item.value_json) for item in items if "epoch" in (item.key, *item.nested_key)])
    assert sorted(epochs) == [[0], [0, 1]]  # the later file is complete by itself


def test_wandb_that_is_not_installed_is_one_line(monkeypatch, tmp_path, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find_spec(name))
    assert wandb_logger(tmp_path, "IIC") == []
    assert capsys.readouterr().out == "W&B is not installed: metrics go to metrics.csv alone\n"


def test_wandb_that_does_not_start_is_one_line_even_where_it_says_nothing(monkeypatch, tmp_path, capsys):
    wandb = pytest.importorskip("wandb")

    def fail(**settings):
        raise OSError

    monkeypatch.setattr(wandb, "init", fail)
    assert wandb_logger(tmp_path / "run", "ncd", offline=True) == []
    assert capsys.readouterr().out == "W&B could not start (OSError): metrics go to metrics.csv alone\n"


def test_csv_has_one_row_an_epoch_and_resumes(tmp_path):
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"epoch": 0, "val/acc": 0.5}, step=3)
    logger.log_metrics({"epoch": 0, "loss": 1.0}, step=3)
    logger.log_metrics({"epoch": 1, "loss": 0.5}, step=6)
    expected = "epoch,step,val/acc,loss\n0,3,0.5,1.0\n1,6,,0.5\n"
    assert logger.path.read_text() == expected
    resumed = CSVLogger(tmp_path, resume=True)
    resumed.log_metrics({"epoch": 1, "loss": 0.25}, step=6)
    assert resumed.path.read_text() == expected.replace("6,,0.5", "6,,0.25")
    fresh = CSVLogger(tmp_path)
    fresh.log_metrics({"epoch": 0, "loss": 2.0}, step=3)
    assert fresh.path.read_text() == "epoch,step,loss\n0,3,2.0\n"
