"""Checkpoints that the commit before the rooms of utils/ wrote, in the middle of an epoch: they load and go on.

tests/checkpoints/*.ckpt: 3 epochs of 3 steps on the digits at 8 pixels, width 1, stopped after step 2 of epoch 2.
"""

import shlex
import shutil
from pathlib import Path

import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import read_table
from tests.utils.data.makers import normalized_digits
from utils import cli, experiment
from utils.evaluation import cluster_acc
from utils.inference import evaluate_checkpoint
from utils.inference.discovery_checkpoint import load_discoverer

HERE = Path(__file__).parent / "checkpoints"
COMMON = shlex.split("--dataset digits --image_size 8 --width 1 --limit_train_batches 3 --batch_size 16")
NCD = shlex.split("--no-wandb --warmup_epochs 1 --max_epochs 3 --resume_from_checkpoint auto")
HEADS = shlex.split("--hidden_dim 8 --proj_dim 4 --num_heads 2 --no-report --check_val_every_n_epoch 1")
CD = shlex.split("--backbone ResNet18 --hidden_dim 4 --feature_num 4 --epochs 3 --record_every 2 --no-tsne")


def pretrain(folder, *where):
    words = [*COMMON, *NCD, "--checkpoint_dir", str(folder), "--comment", "old", *where]
    return experiment.pretrain(cli.parse("pretrain", words))


def discover(folder, *where):
    words = [*COMMON, *NCD, *HEADS, *where]
    return experiment.discover(Discoverer, cli.parse("discover", words, factors=Discoverer.factors))


def disentangle(folder, *where):
    words = [*COMMON, *CD, "--resume_from_checkpoint", "auto", "--model_dir", str(folder / "models"), *where]
    return experiment.disentangle(cli.parse("disentangle", words))


@pytest.mark.parametrize(
    ("stage", "key", "losses"),
    [
        (pretrain, "loss_supervised", [3.8762, 3.3143, 3.0318]),
        (discover, "loss", [7.0455, 6.0781, 4.4496]),
        (disentangle, "loss", [4.6161, 4.5648, 4.4863]),
    ],
)
def test_a_run_goes_on_from_a_checkpoint_of_before(tmp_path, stage, key, losses):
    folder = tmp_path / "logs" / "run"
    folder.mkdir(parents=True)
    shutil.copy(HERE / f"{stage.__name__}.ckpt", folder / "last.ckpt")
    trainer = stage(tmp_path, "--log_dir", str(tmp_path / "logs"), "--run_name", "run")
    assert trainer.current_epoch == 3
    rows = read_table(folder / "metrics.csv")
    assert [float(row[key]) for row in rows] == pytest.approx(losses, rel=1e-2)  # of that commit, uninterrupted


def test_a_discovery_checkpoint_of_before_is_evaluated(tmp_path):
    path = shutil.copy(HERE / "discover.ckpt", tmp_path / "last.ckpt")
    metrics = evaluate_checkpoint.evaluate(cli.parse("evaluate", ["--checkpoint", str(path)]))
    best = torch.load(path, weights_only=True)["state_dict"]["best_head"]
    images, labels = normalized_digits("test", novel=True)
    with torch.no_grad():
        logits = load_discoverer(str(path)).eval().model(images)["logits_unlab"][best]
    by_hand = cluster_acc(labels, logits.argmax(dim=-1).numpy())
    assert metrics["unlab/test/acc/best"] == pytest.approx(by_hand, abs=1e-6)
