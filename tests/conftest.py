"""Shared fixtures: golden numbers, thread counts, a small run."""

import csv
import os
import signal
import socket
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["WANDB_MODE"] = "offline"

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell ran the suite with &; tests interrupt what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def free_port() -> int:
    """A TCP port for processes to meet at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; names of files in it may not be UTF-8."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """What a test draws without a generator does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden():
    """Path of a golden file: the committed copy, else the one in ../shared, else the test is skipped."""

    def find(name: str) -> Path:
        for folder in (ROOT / "tests" / "golden", SHARED / "golden"):
            if (folder / name).is_file():
                return folder / name
        pytest.skip(f"{name} is neither in tests/golden nor in ../shared/golden")

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real CIFAR images; the test is skipped where it is absent."""
    if not (SHARED / "data" / "unpack.py").is_file():
        pytest.skip("the real CIFAR images (../shared/data) are not here")
    return SHARED / "data"


TINY = {  # seconds long: the digits at 8 pixels, a narrow network, a few steps
    "common": ["--dataset", "digits", "--image_size", "8", "--width", "8", "--no-wandb", "--limit_train_batches", "3"],
    "discover": [
        "--hidden_dim",
        "16",
        "--proj_dim",
        "8",
        "--num_heads",
        "3",
        "--check_val_every_n_epoch",
        "1",
        "--no-report",
    ],
}


def tiny_pretraining(folder: Path, *flags: str, pretrainer=None) -> Path:
    """Run a tiny pretraining below ``folder``; the path of its weights."""
    from utils import cli, experiment
    from utils.methods.pretrainer import Pretrainer

    where = ["--log_dir", str(folder / "logs"), "--checkpoint_dir", str(folder), "--comment", "tiny"]
    args = cli.parse("pretrain", [*TINY["common"], "--max_epochs", "2", *where, *flags])
    experiment.pretrain(args, pretrainer or Pretrainer)
    return folder / "pretrain-resnet18-digits-tiny.cp"


def tiny_discovery(folder: Path, *flags: str, discoverer=None, name: str = "run"):
    """Run a tiny discovery in ``folder``/logs/``name``; the trainer."""
    from main_discover_inter_intra import Discoverer
    from utils import cli, experiment

    discoverer = discoverer or Discoverer
    where = ["--log_dir", str(folder / "logs"), "--run_name", name]
    words = [*TINY["common"], *TINY["discover"], "--max_epochs", "3", *where, *flags]
    args = cli.parse("discover", words, factors=discoverer.factors, method=discoverer.method)
    return experiment.discover(discoverer, args)


def tiny_disentangling(folder: Path, *flags: str):
    """Run a tiny contrastive disentangling below ``folder``; the trainer."""
    from utils import cli, experiment

    where = ["--log_dir", str(folder / "logs"), "--run_name", "cd", "--model_dir", str(folder / "models")]
    common = ["--dataset", "digits", "--image_size", "8", "--width", "8", "--limit_train_batches", "2", "--no-tsne"]
    words = [
        *common,
        "--epochs",
        "3",
        "--record_every",
        "2",
        "--hidden_dim",
        "16",
        "--feature_num",
        "16",
        *where,
        *flags,
    ]
    return experiment.disentangle(cli.parse("disentangle", words))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished tiny pretraining and discovery: (folder of the discovery run, its trainer, the pretrained file)."""
    folder = tmp_path_factory.mktemp("tiny")
    weights = tiny_pretraining(folder)
    trainer = tiny_discovery(folder, "--pretrained", str(weights), "--report")
    return folder / "logs" / "run", trainer, weights
