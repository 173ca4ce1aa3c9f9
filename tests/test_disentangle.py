"""train.py and evaluate.py end to end: files, records, resuming, SimCLR, evaluation, errors."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, read_table, tiny_disentangling
from tests.utils.data.makers import pixels, write_npz
from utils import cli, experiment
from utils.errors import UserError
from utils.inference import cluster_embeddings
from utils.methods.disentangler import Disentangler
from utils.nets.disentangling_net import load_net

RUN = "cd_16_seed42"
SCORES = {f"{name}/{key}" for name in ("backbone", "feature") for key in ("nmi", "ari", "acc")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished tiny run of three epochs: its folder, and its trainer."""
    folder = tmp_path_factory.mktemp("cd")
    return folder, tiny_disentangling(folder)


def state(path):
    return torch.load(path, weights_only=True)


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def cluster(folder, *flags):
    words = ["--dataset", "digits", "--image_size", "8", "--model_dir", str(folder / "models"), *flags]
    return cluster_embeddings.cluster(cli.parse("cluster", words))


def test_files_of_a_run(run):
    folder, trainer = run
    models = {str(path.relative_to(folder / "models")) for path in (folder / "models").rglob("*") if path.is_file()}
    assert models == {
        *(f"digits/{kind}_epoch_{epoch}.pth" for kind in ("model", "resnet") for epoch in (2, 3)),
        f"digits/records_{RUN}.csv",
        f"finished/digits_{RUN}.pth",
    }
    assert {path.name for path in (folder / "logs" / "cd").iterdir()} == {
        *("last.ckpt", "hparams.yaml", "metrics.csv", "metrics.json", "log.txt", "curves.png")
    }
    network = trainer.lightning_module.model
    assert_same_tensors(state(folder / "models/digits/model_epoch_3.pth"), network.state_dict())
    assert_same_tensors(state(folder / "models/digits/resnet_epoch_3.pth"), network.resnet.state_dict())


def test_records_hold_current_and_best_metrics(run):
    folder, _ = run
    epochs = read_table(folder / "logs/cd/metrics.csv")
    records = read_table(folder / f"models/digits/records_{RUN}.csv")
    assert [record["epoch"] for record in records] == ["2", "3"]
    for record in records:
        current = epochs[int(record["epoch"]) - 1]
        for name in SCORES | {"loss", "loss_instance", "loss_feature", "entropy"}:
            assert float(record[name]) == pytest.approx(float(current[name]), abs=1e-6), name
        so_far = [float(row["feature/nmi"]) for row in epochs[: int(record["epoch"])]]
        assert float(record["best/feature/nmi"]) == pytest.approx(max(so_far), abs=1e-6)
        assert int(record["best/epoch"]) == so_far.index(max(so_far)) + 1


def test_the_best_model_is_the_one_with_the_best_nmi(run):
    folder, trainer = run
    best = trainer.lightning_module.best
    result = cluster(folder, "--model", str(folder / f"models/finished/digits_{RUN}.pth"))
    assert result.scores == pytest.approx({name: best[name] for name in SCORES}, abs=1e-6)


def test_the_objective_is_the_sum_of_its_parts(run):
    for row in read_table(run[0] / "logs/cd/metrics.csv"):
        assert float(row["loss"]) == pytest.approx(float(row["loss_instance"]) + float(row["loss_feature"]), abs=1e-5)
        assert 0 < float(row["entropy"]) <= 1
        assert float(row["lr"]) == pytest.approx(0.003)
    (optimizer,) = run[1].optimizers
    assert (type(optimizer), optimizer.defaults["weight_decay"]) == (torch.optim.Adam, 0)


def raised(module, *_):
    """Ends a run at the start of its third epoch."""
    if module.current_epoch == 2:
        raise RuntimeError("stopped")


def signalled(module, batch, batch_idx):
    """Ends a run in the middle of its second epoch."""
    if (module.current_epoch, batch_idx) == (1, 0):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("hook", "stop", "error"),
    [("on_train_epoch_start", raised, RuntimeError), ("training_step", signalled, SystemExit)],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch, hook, stop, error):
    flags = ["--use_scheduler", "--checkpoint_minutes", "0"]
    tiny_disentangling(tmp_path / "whole", *flags)
    published = getattr(Disentangler, hook)

    def stopping(module, *args):
        stop(module, *args)
        return published(module, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Disentangler, hook, stopping)
        with pytest.raises(error):
            tiny_disentangling(tmp_path / "parts", *flags)
    stopped = state(tmp_path / "parts/logs/cd/last.ckpt")
    steps = state(tmp_path / "whole/logs/cd/last.ckpt")["global_step"]
    assert 0 < stopped["global_step"] < steps
    assert (stopped["global_step"] % (steps // 3) != 0) == (hook == "training_step")  # within an epoch
    tiny_disentangling(tmp_path / "parts", *flags, "--reload")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    rates = [float(row["lr"]) for row in read_table(whole / "logs/cd/metrics.csv")]
    assert rates == pytest.approx([0.003, 0.003 * 0.75, 0.003 * 0.25])  # a half cosine of three epochs
    for name in ("digits/model_epoch_3.pth", f"finished/digits_{RUN}.pth"):
        assert_same_tensors(state(whole / "models" / name), state(parts / "models" / name))
    for name in (f"models/digits/records_{RUN}.csv", "logs/cd/metrics.csv"):
        assert (whole / name).read_text() == (parts / name).read_text()
    first, second = (state(folder / "logs/cd/last.ckpt")["optimizer_states"][0]["state"] for folder in (whole, parts))
    for number, values in first.items():
        assert_same_tensors(values, second[number])
    assert not list(parts.rglob("*.replaced*"))


def test_a_worse_run_of_the_same_name_keeps_the_best_model_and_the_records_of_the_one_before(run, tmp_path, capsys):
    shutil.copytree(run[0], tmp_path, dirs_exist_ok=True)
    best, records = (
        tmp_path / f"models/{name}" for name in (f"finished/digits_{RUN}.pth", f"digits/records_{RUN}.csv")
    )
    before = best.read_bytes(), records.read_bytes()
    worse = ("--epochs", "1", "--learning_rate", "1e-7")
    for _ in range(2):  # the second time their bytes are the same
        tiny_disentangling(tmp_path, *worse)
        beside = [path.with_suffix(f".replaced{path.suffix}") for path in (best, records)]
        assert tuple(path.read_bytes() for path in beside) == before != (best.read_bytes(), records.read_bytes())
        assert len(list((tmp_path / "models").rglob("*.replaced*"))) == 2
    said = capsys.readouterr().out
    for path in (best, records):
        assert said.count(f"note: {path} was there already; it is kept as {path.stem}.replaced{path.suffix}\n") == 1
    tiny_disentangling(tmp_path, "--reload", "--checkpoint", str(run[0] / "logs/cd/last.ckpt"), "--epochs", "4")
    assert (
        records.with_suffix(".replaced-2.csv").read_text().count("\n") == 2
    )  # of the worse run, which this one is not


def test_going_on_for_more_epochs(run, tmp_path):
    checkpoint = run[0] / "logs/cd/last.ckpt"
    trainer = tiny_disentangling(tmp_path, "--reload", "--checkpoint", str(checkpoint), "--epochs", "4")
    assert [row["epoch"] for row in read_table(tmp_path / f"models/digits/records_{RUN}.csv")] == ["2", "3", "4"]
    assert trainer.current_epoch == 4


def test_simclr_is_the_same_training_without_features(tmp_path):
    trainer = tiny_disentangling(tmp_path, "--method", "simclr", "--evaluation_mode", "none", "--no-save_model")
    module = trainer.lightning_module
    assert module.model.feature_predictor is None
    rows = read_table(tmp_path / "logs/cd/metrics.csv")
    assert [bool(row["feature/nmi"]) for row in rows] == [False, True, True]  # with the record, and at the end
    assert all(row["loss"] == row["loss_instance"] for row in rows)
    files = {path.name for path in (tmp_path / "models").rglob("*") if path.is_file()}
    assert files == {"records_simclr_16_seed42.csv"}
    outputs = {"projections": torch.randn(2, 6, 16)}
    assert module.compute_losses(outputs).keys() == {"loss", "loss_instance"}


def test_a_share_is_evaluated(tmp_path):
    trainer = tiny_disentangling(
        tmp_path, "--evaluation_mode", "0.1", "--epochs", "1", "--precision", "bf16", "--batch_size", "16"
    )
    assert len(trainer.lightning_module.evaluation.labels) == 180
    assert torch.isfinite(trainer.callback_metrics["loss"])


def test_the_pictures_of_a_record(tmp_path, monkeypatch):
    pytest.importorskip("captum")
    from utils.report.plots import lime

    monkeypatch.setattr(lime, "ACTIVE", 0.4)  # so early no feature is decided
    monkeypatch.setattr(lime, "SAMPLES", 20)
    trainer = tiny_disentangling(tmp_path, "--epochs", "1", "--tsne", "--evaluation_mode", "0.1", "--lime", "2")
    for name in ("tsne", "lime_circled", "lime_unmasked"):
        assert (tmp_path / f"logs/cd/{name}_epoch_1.png").stat().st_size > 5_000
    assert trainer.lightning_module.training
    with pytest.raises(UserError, match="--method simclr has none"):
        tiny_disentangling(tmp_path, "--method", "simclr", "--lime", "2")


def test_fast_dev_run_leaves_no_model(tmp_path):
    tiny_disentangling(tmp_path, "--fast_dev_run")
    assert not list(tmp_path.rglob("*.pth"))


# evaluate.py


def test_evaluation_gives_the_last_epoch_s_numbers(run):
    folder, trainer = run
    expected = {name: float(trainer.callback_metrics[name]) for name in SCORES}
    result = cluster(folder, "--epoch", "3")
    assert result.scores == pytest.approx(expected, abs=1e-6)
    assert json.loads((folder / "models/digits/model_epoch_3.metrics.json").read_text()) == result.scores
    assert (
        cluster(folder, "--epoch", "9", "--model", str(folder / "models/digits/model_epoch_3.pth")).scores
        == result.scores
    )


def test_the_clusters_are_written(run, tmp_path):
    result = cluster(run[0], "--epoch", "2", "--k", "7", "--out", str(tmp_path / "out"))
    rows = read_table(tmp_path / "out.clusters.csv")
    assert result.files["clusters"] == tmp_path / "out.clusters.csv"
    assert len(rows) == 1797
    assert {row["backbone"] for row in rows} == {str(k) for k in range(7)}
    assert {row["class"] for row in rows} == set("0123456789")


def test_images_without_labels_are_clustered_and_not_scored(run, tmp_path):
    unknown = np.full(20, -1)
    arrays = {"train_images": pixels(20, 8, 8), "train_labels": unknown, "test_images": pixels(20, 8, 8, seed=1)}
    write_npz(tmp_path / "a.npz", **arrays, test_labels=unknown)
    flags = ["--dataset", f"npz:{tmp_path / 'a.npz'}", "--model", str(run[0] / "models/digits/model_epoch_3.pth")]
    words = [*flags, "--image_size", "8", "--k", "3", "--out", str(tmp_path / "out")]
    result = cluster_embeddings.cluster(cli.parse("cluster", words))
    assert result.scores == {}
    assert result.files.keys() == {"clusters"}
    assert {row["feature"] for row in read_table(tmp_path / "out.clusters.csv")} == {"0", "1", "2"}
    with pytest.raises(UserError, match="give --k"):
        cluster_embeddings.cluster(cli.parse("cluster", [*flags, "--image_size", "8"]))


def test_a_model_of_super_classes_on_all_100_classes(tmp_path):
    write_npz(tmp_path / "cifar100.npz", classes=100, each=2, size=32)
    net = Disentangler(width=8, backbone="ResNet18", feature_num=8, image_size=32).model
    torch.save(net.state_dict(), tmp_path / "model.pth")
    words = ["--dataset", "cifar100", "--data_dir", str(tmp_path), "--model", str(tmp_path / "model.pth")]
    for flags, classes in (([], 20), (["--fine_labels"], 100)):
        cluster_embeddings.cluster(cli.parse("cluster", [*words, "--image_size", "32", *flags]))
        rows = read_table(tmp_path / "model.clusters.csv")
        assert len({row["class"] for row in rows}) == len({row["backbone"] for row in rows}) == classes


def test_pictures_on_demand(run, tmp_path, monkeypatch):
    pytest.importorskip("captum")
    from utils.report.plots import lime

    weights = state(run[0] / "models/digits/model_epoch_3.pth")
    torch.save(weights | {"feature_predictor.4.weight": torch.full((16,), 9.0)}, tmp_path / "model.pth")  # decided
    result = cluster(run[0], "--model", str(tmp_path / "model.pth"), "--lime", "0,3")
    for name in ("lime_circled", "lime_unmasked"):
        assert result.files[name] == tmp_path / f"model.{name}.png"
        assert result.files[name].stat().st_size > 5_000
    with pytest.raises(UserError, match="--lime 16: the model has the features 0 to 15"):
        cluster(run[0], "--epoch", "3", "--lime", "16")
    monkeypatch.setattr(lime, "ACTIVE", 1.1)
    with pytest.raises(UserError, match=r"no feature among \[3\] is above 1\.1 on any image"):
        cluster(run[0], "--epoch", "3", "--lime", "3", "--image_size", "12")


def test_published_weights_are_read_by_the_module(run):
    net = load_net(run[0] / "models/digits/model_epoch_3.pth")
    assert isinstance(Disentangler(net, feature_num=16).model, type(net))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epoch", "77"], r"there is no file .*model_epoch_77\.pth"),
        (["--model", "absent.pth"], r"there is no file absent\.pth"),
        (["--epoch", "3", "--k", "5000"], r"5000 clusters of 1797 images"),
        (["--dataset", "stl10", "--no-download", "--data_dir", "nowhere", "--model", "MODEL"], r"stl10 is not whole"),
    ],
)
def test_what_can_be_wrong(run, flags, message):
    model = str(run[0] / "models/digits/model_epoch_3.pth")
    with pytest.raises(UserError, match=message) as error:
        cluster(run[0], *(model if flag == "MODEL" else flag for flag in flags))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "stl10", "--no-download"], r"stl10 is not whole"),
        (["--dataset", "digits", "--batch_size", "5000"], r"--batch_size 5000 is larger than the 1797 training images"),
        (["--dataset", "digits", "--backbone", "VGG"], r"unknown --backbone 'VGG'"),
        (["--dataset", "digits", "--resume_from_checkpoint", "absent.ckpt"], r"absent\.ckpt: there is no such file"),
    ],
)
def test_what_can_be_wrong_in_training(tmp_path, words, message):
    words = [*words, "--data_dir", str(tmp_path), "--log_dir", str(tmp_path / "logs"), "--model_dir", str(tmp_path)]
    with pytest.raises(UserError, match=message):
        experiment.disentangle(cli.parse("disentangle", words))
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("main", ["train.py", "evaluate.py"])
def test_help_and_mistyped_flags_need_no_torch(main):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", main, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--dataset" in done.stdout
    assert not any(line.rstrip().endswith((" torch", " pytorch_lightning")) for line in done.stderr.splitlines())
    done = subprocess.run([sys.executable, main, "--datset", "stl10"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
