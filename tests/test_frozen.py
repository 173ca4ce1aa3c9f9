"""A frozen backbone through the mains: extracted once, then trained on, judged, resumed, and applied from pixels."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch

import main_evaluate
import main_predict
from main_discover import Discoverer as Uno
from main_discover_inter_intra import Discoverer
from tests.conftest import ROOT, TINY, read_table
from tests.utils.data.makers import write_folder
from utils import cli, experiment
from utils.data import get_datamodule
from utils.data.features.store import ABOUT
from utils.errors import UserError
from utils.evaluation.predictions import predict
from utils.inference import extraction
from utils.inference.discovery_checkpoint import datamodule_of, load_discoverer
from utils.inference.features import PretrainedFeatures
from utils.nets.backbone import backbone_data

pytest.importorskip("timm")
BACKBONE = ["--backbone", "test_resnet", "--backbone_weights", "none", "--train", "frozen", "--backbone_size", "32"]
HEADS = [word for word in TINY["discover"] if word != "--no-report"]
COMMON = ["--no-wandb", "--limit_train_batches", "3", *BACKBONE]


@pytest.fixture
def photos(tmp_path):
    write_folder(tmp_path / "photos", size=(90, 70))
    return tmp_path / "photos"


def words(folder, *flags, name="run"):
    where = ["--log_dir", str(folder / "logs"), "--run_name", name, "--feature_cache", str(folder / "cache")]
    return [*COMMON, *where, *flags]


def discover(folder, *flags, name="run", discoverer=Discoverer):
    given = words(folder, "--max_epochs", "2", *HEADS, *flags, name=name)
    return experiment.discover(discoverer, cli.parse("discover", given, factors=discoverer.factors))


def of_photos(photos):
    classes = ["--num_labeled_classes", "2", "--num_unlabeled_classes", "3", "--batch_size", "8"]
    return ["--dataset", "folder", "--data_dir", str(photos), *classes, "--num_workers", "0"]


@pytest.fixture
def encoder_of_file(tmp_path):
    """Random weights that every run finds again."""
    import timm

    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), path)
    return ["--backbone_weights", str(path), "--train", "frozen"]


def forbid_extraction(monkeypatch):
    def no(*args):
        raise AssertionError("features are extracted again")

    monkeypatch.setattr(extraction.Extraction, "chunks", no)


def test_pretraining_and_discovery_share_the_features_and_so_does_every_later_run(
    tmp_path, encoder_of_file, capsys, monkeypatch
):
    flags = ["--dataset", "digits", *encoder_of_file]
    given = words(tmp_path, *flags, "--max_epochs", "2", "--checkpoint_dir", str(tmp_path), "--comment", "t", name="p")
    experiment.pretrain(cli.parse("pretrain", given))
    said = capsys.readouterr().out
    assert len(re.findall(r"^features  digits-test_resnet-32-(views|train|test): ", said, re.M)) == 3
    assert re.search(r"^features  .* images in .* seconds \(.* images/s\)$", said, re.M)
    forbid_extraction(monkeypatch)
    pretrained = ["--pretrained", str(tmp_path / "pretrain-test_resnet-digits-t.cp")]
    trainer = discover(tmp_path, *flags, *pretrained, "--seed", "3", "--num_large_crops", "4", "--no-report")
    assert re.search(r"features  in the place of images: views 1,\d+ x 6 x \d+, train 1,", capsys.readouterr().out)
    assert "unlab/test/acc/best" in trainer.callback_metrics
    loader = trainer.train_dataloader
    assert len(next(iter(loader))[0]) == 4
    again = words(tmp_path, *flags, *HEADS, "--max_epochs", "1", "--no-report", name="uno")
    experiment.discover(Uno, cli.parse("discover", again))


def test_shares_of_the_batches(tmp_path, encoder_of_file):
    shares = ["--limit_train_batches", "0.1", "--limit_val_batches", "0.5", "--eval_batch_size", "64"]
    trainer = discover(tmp_path, "--dataset", "digits", *encoder_of_file, *shares, "--no-report", "--max_epochs", "1")
    assert trainer.num_training_batches == 1442 // 64 // 10
    assert trainer.num_val_batches == [len(loader) // 2 for loader in trainer.val_dataloaders]
    with pytest.raises(UserError, match=r"--limit_val_batches 0.01 of \d+ batches is less than one"):
        discover(tmp_path, "--dataset", "digits", *encoder_of_file, *shares, "--limit_val_batches", "0.01")


def test_batches_of_features_are_not_refused_for_the_size_of_images(tmp_path):
    given = ["--dataset", "digits", "--backbone", "test_resnet", "--backbone_size", "4096", "--batch_size", "1400"]
    args = cli.parse("discover", [*words(tmp_path), *given])
    args.backbone_data = asdict(backbone_data(args.backbone, args.backbone_size))
    get_datamodule(args, "discover").setup("fit")
    args.train = "all"
    with pytest.raises(UserError, match="GiB"):
        get_datamodule(args, "discover").setup("fit")


def test_evaluation_gives_the_metrics_of_the_run_from_the_checkpoint_and_the_report_shows_images(
    tmp_path, encoder_of_file, monkeypatch
):
    trainer = discover(tmp_path, "--dataset", "digits", *encoder_of_file)
    folder = tmp_path / "logs" / "run"
    assert (folder / "report.html").stat().st_size > 10_000
    forbid_extraction(monkeypatch)
    checkpoint = ["--checkpoint", str(folder / "last.ckpt"), "--baselines"]
    main_evaluate.main(cli.parse("evaluate", checkpoint))
    metrics = json.loads((folder / "evaluation.json").read_text())
    for key, value in trainer.callback_metrics.items():
        if key.startswith(("unlab", "lab", "joint")):
            assert metrics[key] == pytest.approx(float(value), abs=1e-6), key
    assert {"baseline/kmeans_pixels/acc", "baseline/kmeans_features/acc"} <= set(metrics)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped_and_the_encoder_stays(tmp_path, encoder_of_file):
    class Stopping(Discoverer):
        def training_step(self, batch, batch_idx):
            if (self.current_epoch, batch_idx) == (1, 2):
                raise RuntimeError("stopped")
            return super().training_step(batch, batch_idx)

    flags = ["--dataset", "digits", *encoder_of_file, "--no-report", "--max_epochs", "2", "--checkpoint_minutes", "0"]
    whole = discover(tmp_path, *flags, name="whole").lightning_module.model.state_dict()
    with pytest.raises(RuntimeError, match="stopped"):
        discover(tmp_path, *flags, name="cut", discoverer=Stopping)
    discover(tmp_path, *flags, "--resume_from_checkpoint", "auto", name="cut")
    resumed = load_discoverer(str(tmp_path / "logs" / "cut" / "last.ckpt")).model.state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    given = torch.load(encoder_of_file[1], weights_only=True)
    fixed = {name: value for name, value in whole.items() if name.startswith("encoder.model.")}
    assert fixed
    assert all(torch.equal(value, given[name.removeprefix("encoder.model.")]) for name, value in fixed.items())


def test_pixels_give_what_the_cache_gave(tmp_path, photos, encoder_of_file):
    discover(tmp_path, *of_photos(photos), *encoder_of_file, "--no-report")
    checkpoint = str(tmp_path / "logs" / "run" / "last.ckpt")
    module = load_discoverer(checkpoint)
    args = cli.parse("evaluate", ["--checkpoint", checkpoint, "--gpus", "0"])
    datamodule = datamodule_of(module, args)
    cached = predict(module, datamodule.evaluation_loader("unlab/train", "cpu"))
    out = tmp_path / "predictions.csv"
    given = ["--checkpoint", checkpoint, "--images", str(photos / "unlabeled"), "--out", str(out), "--gpus", "0"]
    exported = tmp_path / "model.onnx"
    main_predict.main(cli.parse("predict", [*given, "--export", str(exported)]))
    found = {row["image"]: row for row in read_table(out)}
    names = [*module.hparams["class_names"], *(f"novel-{cluster}" for cluster in range(3))]
    part, rows = datamodule.evaluation_rows("unlab/train")
    paths = [getattr(datamodule, f"{part}_images")[row] for row in rows]
    shown = [place for place, path in enumerate(paths) if path in found]
    assert len(shown) == len(found) == 7
    for place in shown:
        row = found[paths[place]]
        assert row["prediction"] == names[cached.output[place]]
        assert float(row["probability"]) == pytest.approx(cached.probability[place], abs=2e-3)

    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    images = np.stack([view_of(module, paths[place]) for place in shown])
    probabilities, features = session.run(None, {"images": images})
    assert (probabilities.argmax(axis=1) == cached.output[shown]).all()
    np.testing.assert_allclose(probabilities.max(axis=1), cached.probability[shown], atol=2e-3)
    np.testing.assert_allclose(features, cached.features[shown], atol=2e-3, rtol=2e-3)


def view_of(module, path):
    from utils.data.images import read_image
    from utils.inference.predict_folder import evaluation_pipeline

    return evaluation_pipeline(module.hparams).worker_view(read_image(path)).numpy()


def test_scripts_cluster_and_count_on_the_features_of_a_backbone(tmp_path, encoder_of_file):
    given = [*BACKBONE[:2], *BACKBONE[-2:], *encoder_of_file[:2], "--dataset", "digits"]
    args = cli.parse("features", [*given, "--feature_cache", str(tmp_path / "cache")])
    features = PretrainedFeatures(args, None, torch.device("cpu"))
    metrics, table = features.baseline("kmeans", 5, 0)
    assert table.sum()
    assert 0 <= metrics["unlab/test/acc/best"] <= 1
    assert len(list((tmp_path / "cache").glob(f"*/{ABOUT}"))) == 2
    trainer = discover(
        tmp_path, "--dataset", "digits", *encoder_of_file, "--num_unlabeled_classes", "auto", "--max_epochs", "1"
    )
    assert trainer.lightning_module.hparams["num_unlabeled_classes"] >= 2
    one_view = ["--feature_views", "0", "--num_large_crops", "1", "--num_unlabeled_classes", "auto", "--no-report"]
    given = words(tmp_path, "--dataset", "digits", *encoder_of_file, *one_view, "--max_epochs", "1", name="gcd")
    trainer = experiment.discover_generalized(cli.parse("gcd", given))
    assert trainer.lightning_module.hparams["num_unlabeled_classes"] >= 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--multicrop"], "--multicrop means nothing for a frozen encoder"),
        (["--num_large_crops", "7"], "--num_large_crops 7, but of each image --feature_views 6 views are kept"),
    ],
)
def test_flags_of_views_that_are_not_there(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        discover(tmp_path, "--dataset", "digits", *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--feature_views", "3"], "--feature_views is of --backbone, which is not given"),
        ([*BACKBONE[:4], "--feature_views", "3"], "--feature_views means nothing with --train all"),
    ],
)
def test_flags_of_features_without_a_frozen_backbone(flags, message, capsys):
    with pytest.raises(SystemExit):
        cli.parse("discover", ["--dataset", "digits", *flags])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_share_what_one_extracts(tmp_path, encoder_of_file):
    given = words(tmp_path, "--dataset", "digits", *encoder_of_file, "--max_epochs", "1", *HEADS, "--no-report")
    done = subprocess.run(
        [sys.executable, "main_discover.py", *given, "--num_processes", "2", "--distributed_backend", "ddp"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^features  \S+-views: 1,", done.stdout, re.M)) == 1
    assert done.stdout.count("epoch 1/1") == 1
