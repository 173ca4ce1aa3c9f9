"""scripts/<split>/baselines.sh run every method that trains, with flags that parse and the split's settings."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.baselines.test_runs import TRAINED
from tests.conftest import ROOT
from utils import cli
from utils.methods.named import baseline_module
from utils.nets.batch_norm import ViewSyncBatchNorm

SPLITS = {
    "cifar10-5": {"dataset": "CIFAR10", "num_labeled_classes": 5, "num_unlabeled_classes": 5, "precision": "16"},
    "cifar100-20": {"dataset": "CIFAR100", "num_labeled_classes": 80, "num_unlabeled_classes": 20, "precision": "16"},
    "cifar100-50": {"dataset": "CIFAR100", "num_labeled_classes": 50, "num_unlabeled_classes": 50, "precision": "16"},
    "digits": {"dataset": "digits", "num_labeled_classes": 5, "num_unlabeled_classes": 5, "precision": "32"},
    **{
        f"imagenet-{name.lower()}": {"dataset": "ImageNet", "num_labeled_classes": 882, "imagenet_split": name}
        for name in "ABC"
    },
}
EXPECTED = {  # where the recipe of a dataset is another than the method's default
    ("cifar10-5", "rs"): {"max_epochs": 200, "batch_size": 128, "rampup_length": 50, "rampup_coefficient": 5.0},
    ("cifar100-20", "rs"): {"rampup_length": 150, "rampup_coefficient": 50.0},
    ("cifar100-50", "rs_plus"): {"max_epochs": 400, "batch_size": 256, "rampup_coefficient": 25.0},
    ("cifar100-20", "ncl"): {"hard_negatives": True, "num_far": 400},
    ("cifar10-5", "uno_v1"): {"max_epochs": 200, "base_lr": 0.1, "num_heads": 4, "weight_decay_opt": 1e-4},
    ("cifar10-5", "rkd"): {"multicrop": True, "batch_size": 512, "overcluster_factor": 0},
    ("imagenet-a", "comex"): {"batch_head": False, "max_epochs": 60, "base_lr": 0.2},
    ("imagenet-b", "uno_v1"): {"base_lr": 0.02, "num_heads": 3, "warmup_epochs": 5},
    ("digits", "rs"): {"num_heads": 1, "rampup_length": 16},
}


@pytest.mark.parametrize("split", SPLITS)
def test_all_methods_with_the_settings_of_the_split(split, tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" --\n')
    stand_in.chmod(0o755)
    script = ROOT / "scripts" / split / "baselines.sh"
    assert os.access(script, os.X_OK)
    environment = {**os.environ, "PYTHON": str(stand_in)}
    command = [str(script), "--seed", "7"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = [lines.split("\n") for lines in done.stdout.removesuffix("\n--\n").split("\n--\n")]
    assert sorted(words[0] for words in commands) == [f"baselines/{name}.py" for name in sorted(TRAINED)]
    for words in commands:
        name = Path(words[0]).stem
        args = vars(cli.parse("discover", words[1:], method=baseline_module(name).METHOD))
        expected = SPLITS[split] | {"seed": 7} | EXPECTED.get((split, name), {})
        assert {key: args[key] for key in expected} == expected, name
        assert args["comment"].endswith(f"_{name}") or f"-{args.get('imagenet_split')}_{name}" in args["comment"]
        assert args["pretrained"].startswith("checkpoints_iic/pretrain-resnet18-")


@pytest.mark.parametrize("name", TRAINED)
def test_batchnorm_can_be_synchronised_as_the_scripts_of_imagenet_do(name):
    ViewSyncBatchNorm().apply(baseline_module(name).Discoverer(dataset="digits", width=8))
