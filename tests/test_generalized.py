"""Generalized discovery from the command: files, the checkpoint read again, one list of classes, resuming."""

import json
import shlex

import numpy as np
import pytest
import torch

from tests.conftest import TINY, read_table
from utils import cli, experiment
from utils.errors import UserError
from utils.inference import evaluate_checkpoint
from utils.inference.discovery_checkpoint import datamodule_of, load_discoverer
from utils.inference.onnx_export import PixelsToProbabilities
from utils.report.clusters import HEADER
from utils.report.collect import collect
from utils.report.reproduce import reproduce_command

SMALL = ["--hidden_dim", "16", "--proj_dim", "8", "--check_val_every_n_epoch", "1", "--max_epochs", "3"]


def run(folder, *flags, name="gcd"):
    where = ["--log_dir", str(folder), "--run_name", name]
    return experiment.discover_generalized(cli.parse("gcd", [*TINY["common"], *SMALL, *where, *flags]))


@pytest.fixture(scope="module")
def generalized(tmp_path_factory):
    """The folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp("generalized")
    run(folder)
    return folder / "gcd"


def test_files_and_keys(generalized):
    metrics = json.loads((generalized / "metrics.json").read_text())
    expected = {f"{name}/acc/{part}" for name in ("unlab/train", "test") for part in ("all", "old", "new")}
    terms = {"supervised", "distill", "mean_entropy", "cluster", "contrastive", "sup_con"}
    assert expected | {"loss", "lr"} | {f"loss_{term}" for term in terms} <= metrics.keys()
    for name in ("last.ckpt", "hparams.yaml", "metrics.csv", "curves.png", "confusion.png", "report.html"):
        assert (generalized / name).is_file(), name
    page = (generalized / "report.html").read_text()
    assert "One matching over known and novel classes together" in page
    assert "nearest to a known class" in page


def test_one_list_of_classes_on_the_sheets(generalized):
    rows = read_table(generalized / "figures" / "clusters.csv")
    assert tuple(rows[0]) == HEADER
    args = cli.parse("evaluate", ["--checkpoint", str(generalized / "last.ckpt")])
    module = load_discoverer(args.checkpoint)
    datamodule = datamodule_of(module, args)
    found = collect(module, datamodule)
    assert {row["sheet"] for row in rows} <= set(found.outputs)
    heap = datamodule.evaluation_rows("unlab/train")[1]
    shown = {(row["sheet"], row["image"]) for row in rows}
    assert len({image for _, image in shown}) == len(heap) == len(shown)  # every image, each in one class
    near = [row for row in rows if row["group"] == "nearest to a known class"]
    values = [float(row["its probability"]) for row in near if row["sheet"] == near[0]["sheet"]]
    assert near[0]["sheet"].startswith("novel-")
    assert values == sorted(values, reverse=True)
    part = found.sets["unlab/train"]
    assert (part.known_probability <= part.probability + 1e-6).all()
    assert np.array_equal(part.known_probability == part.probability, part.output < 5)


def test_the_checkpoint_evaluates_to_the_same(generalized):
    metrics = json.loads((generalized / "metrics.json").read_text())
    args = cli.parse("evaluate", ["--checkpoint", str(generalized / "last.ckpt")])
    again = evaluate_checkpoint.evaluate(args)
    assert again == {name: pytest.approx(metrics[name]) for name in again}
    args.baselines = True
    with pytest.raises(UserError, match=r"run baselines/kmeans\.py with --setting gcd"):
        evaluate_checkpoint.evaluate(args)


def test_the_exported_network_predicts_what_the_method_does(generalized):
    module = load_discoverer(str(generalized / "last.ckpt")).eval()
    network = PixelsToProbabilities(module)
    pixels = torch.randint(256, (3, 3, network.size, network.size), dtype=torch.uint8)
    with torch.no_grad():
        outputs = module.predictions(pixels * network.scale + network.shift)
        probabilities, feats = network(pixels)
    logits = torch.cat([outputs["logits_lab"], outputs["logits_unlab"][module.best_head]], dim=1)
    torch.testing.assert_close(probabilities, torch.softmax(logits / module.hparams["temperature"], dim=1))
    torch.testing.assert_close(feats, outputs["feats"])


def test_the_command_that_repeats_the_run(generalized):
    module = load_discoverer(str(generalized / "last.ckpt"))
    python, main, *words = shlex.split(reproduce_command(module.hparams))
    assert (python, main) == ("python", "main_discover_gcd.py")
    again = vars(cli.parse("gcd", words))
    assert {name: again[name] for name in ("max_epochs", "hidden_dim", "prop_train_labels", "sampler")} == {
        "max_epochs": 3,
        "hidden_dim": 16,
        "prop_train_labels": 0.5,
        "sampler": "balanced",
    }


@pytest.mark.parametrize("stop", [1, 4])
def test_a_run_that_goes_on_is_as_one_that_was_not_stopped(generalized, tmp_path, monkeypatch, stop):
    from utils.methods.gcd_discoverer import GCDDiscoverer

    steps = iter(range(100))
    original = GCDDiscoverer.training_step

    def stopping(self, batch, batch_idx):
        if next(steps) == stop:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(GCDDiscoverer, "training_step", stopping)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(tmp_path, "--checkpoint_minutes", "0", "--no-report")
    monkeypatch.setattr(GCDDiscoverer, "training_step", original)
    run(tmp_path, "--resume_from_checkpoint", "auto", "--checkpoint_minutes", "0", "--no-report")
    whole, resumed = (
        torch.load(path / "last.ckpt", weights_only=True)["state_dict"] for path in (generalized, tmp_path / "gcd")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_pretrained_weights_fill_the_encoder(tmp_path):
    words = [*TINY["common"], "--setting", "gcd", "--max_epochs", "1", "--comment", "half"]
    where = ["--log_dir", str(tmp_path), "--checkpoint_dir", str(tmp_path)]
    experiment.pretrain(cli.parse("pretrain", [*words, *where]))
    weights = tmp_path / "pretrain-resnet18-digits-half.cp"
    run(
        tmp_path,
        "--pretrained",
        str(weights),
        "--no-report",
        "--limit_train_batches",
        "1",
        "--base_lr",
        "1e-9",
        "--min_lr",
        "0",
    )
    ours = load_discoverer(str(tmp_path / "gcd" / "last.ckpt")).model.state_dict()
    theirs = torch.load(weights, weights_only=True)
    name = "encoder.conv1.weight"
    torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=0)
