"""What is out of range is one line before any work; what memory refuses is one with the size that was asked for."""

import os
import warnings
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.utils.data.makers import pixels
from utils import cli, devices, experiment
from utils.cli.settings import remarks, resolve
from utils.data import workers
from utils.data.file_loaders import FileEvalLoader
from utils.data.selection import check_batch_size
from utils.errors import UserError, told
from utils.methods.discoverer import Discoverer
from utils.training.lightning_messages import silence_lightning
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.spec import EvalSpec

BATCHES = "but must be a number of batches such as 20, or a share such as 0.25, above 0 and at most 1.0"


@pytest.mark.parametrize(
    ("stage", "flag", "value", "message"),
    [
        ("discover", "batch_size", "1", "--batch_size is 1 but must be at least 2"),
        ("pretrain", "batch_size", "1", "--batch_size is 1 but must be at least 2"),
        ("disentangle", "batch_size", "1", "--batch_size is 1 but must be at least 2"),
        ("discover", "limit_train_batches", "-3", f"is -3 {BATCHES}"),
        ("discover", "limit_train_batches", "0", f"is 0 {BATCHES}"),
        ("disentangle", "limit_train_batches", "1.5", f"is 1.5 {BATCHES}"),
        ("discover", "limit_train_batches", "nan", f"is nan {BATCHES}"),
        ("discover", "limit_val_batches", "-1", "is -1 but must be 0, a number of batches"),
        ("discover", "fast_dev_run", "-2", "--fast_dev_run is -2 but must be at least 0"),
        ("discover", "num_sanity_val_steps", "-2", "is -2 but must be at least 0, or -1 for all batches"),
        ("discover", "seed", "4294967296", "--seed is 4294967296 but must be from 0 to 4294967295"),
        ("disentangle", "seed", "-1", "--seed is -1 but must be from 0 to 4294967295"),
        ("disentangle", "feature_num", "1", "--feature_num is 1 but must be at least 2"),
        ("discover", "num_unlabeled_classes", "100000000000", "but must be at most 2147483647"),
        ("discover", "eval_batch_size", "99999999999", "but must be at most 2147483647"),
        ("discover", "base_lr", "inf", "--base_lr is inf but must be above 0 and finite"),
        ("discover", "weight_decay_opt", "inf", "is inf but must be at least 0 and finite"),
        ("disentangle", "learning_rate", "inf", "--learning_rate is inf but must be above 0 and finite"),
        ("discover", "checkpoint_minutes", "inf", "is inf but must be at least 0 and finite"),
        ("discover", "momentum_opt", "1", "--momentum_opt is 1.0 but must be at least 0 and below 1"),
        ("discover", "min_lr", "0.5", "--min_lr is 0.5 and --base_lr 0.4, but warm-up rises from the first to the"),
        ("pretrain", "base_lr", "0.0005", "--min_lr is 0.001 and --base_lr 0.0005, but"),
        ("discover", "run_name", "../..", "--run_name is '../..' but must name a folder below --log_dir"),
        ("discover", "run_name", "/tmp/x", "--run_name is '/tmp/x' but must name a folder below --log_dir"),
        ("discover", "run_name", ".", "--run_name is '.' but must name a folder below --log_dir"),
        ("disentangle", "run_name", "", "--run_name is '' but must name a folder below --log_dir"),
        ("pretrain", "comment", "a/b", "--comment is 'a/b' but must be a part of a file's name: printable, without"),
        ("discover", "comment", "a\nb", r"--comment is 'a\nb' but must be a part of a file's name: printable"),
    ],
)
def test_a_value_out_of_range(capsys, stage, flag, value, message):
    with pytest.raises(SystemExit) as stopped:
        cli.parse(stage, ["--dataset", "stl10"] * (stage == "disentangle") + [f"--{flag}", value])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("limit_train_batches", "1", 1),
        ("limit_train_batches", "1.0", 1.0),
        ("limit_train_batches", "1e-3", 0.001),
        ("limit_val_batches", "0", 0),
        ("fast_dev_run", "0", 0),
        ("num_sanity_val_steps", "-1", -1),
        ("seed", "4294967295", 4294967295),
        ("run_name", "group/run", "group/run"),
        ("comment", "5+5 a.b", "5+5 a.b"),
    ],
)
def test_the_ends_of_the_ranges(flag, value, expected):
    found = getattr(cli.parse("discover", [f"--{flag}", value]), flag)
    assert found == expected
    assert type(found) is type(expected)


def test_a_checkpoint_of_an_older_run_is_read_whatever_its_name():
    """What only a run that begins must not have stands in files that are there."""
    old = {"comment": "a/b", "run_name": "../x", "base_lr": 0.0005}
    assert resolve("discover", old)["min_lr"] == 0.001


@pytest.mark.parametrize(
    ("warmup", "epochs", "expected"),
    [
        (2, 3, []),
        (3, 3, ["--warmup_epochs 3 leaves nothing of --max_epochs 3: --base_lr is reached in the last epoch alone"]),
        (4, 3, ["--warmup_epochs 4 leaves nothing of --max_epochs 3: --base_lr is never reached"]),
    ],
)
def test_a_warm_up_that_fills_the_run_is_said(warmup, epochs, expected):
    assert remarks({"warmup_epochs": warmup, "max_epochs": epochs}) == expected
    assert remarks(vars(cli.parse("disentangle", ["--dataset", "stl10"]))) == []


DIGITS = ["--dataset", "digits", "--no-wandb", "--no-report"]


def discover(tmp_path, *flags):
    return experiment.discover(
        Discoverer, cli.parse("discover", [*DIGITS, "--log_dir", str(tmp_path / "logs"), *flags])
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--limit_train_batches", "0.00001"], r"--limit_train_batches 1e-05 of 22 batches is less than one"),
        (["--limit_val_batches", "0.5"], r"--limit_val_batches 0\.5 of 1 batches is less than one"),
        (["--num_nodes", "4"], r"--num_nodes 4 but this process was started alone .* torchrun or srun"),
        (["--num_processes", "5000"], r"--num_processes 5000 but this machine has \d+ cores"),
        (["--image_size", "100000"], r"2 views of 100000 pixels takes 14\.0 TiB .* this machine has"),
    ],
)
def test_what_no_machine_can_run(monkeypatch, tmp_path, flags, message):
    for name in (*devices.LAUNCHED, *devices.BY_HAND):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=message) as error:
        discover(tmp_path, *flags)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "logs").exists()


def test_processes_of_torchrun_that_are_not_those_that_train_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    devices.require_launcher(2, 4)
    with pytest.raises(UserError, match="torchrun started 4 processes but 1 would train together"):
        devices.require_launcher(1, 1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UserError, match="torchrun started 1 processes but 2 would train together"):
        devices.require_launcher(1, 2)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MASTER_ADDR": "127.0.0.1"}, "without launcher: MASTER_PORT and NODE_RANK missing"),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "2"}, "NODE_RANK is '2' .* from 0 to 1"),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "abc"}, "NODE_RANK is 'abc'"),
    ],
)
def test_machines_that_would_not_meet_are_refused(monkeypatch, environment, message):
    for name in (*devices.LAUNCHED, *devices.BY_HAND):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        devices.require_launcher(2, 2)
    monkeypatch.setattr(os, "environ", os.environ | {"MASTER_ADDR": "a", "MASTER_PORT": "1", "NODE_RANK": "1"})
    devices.require_launcher(2, 2)


@pytest.mark.parametrize(
    ("job", "processes", "message"),
    [
        ({"SLURM_NTASKS": "2"}, 1, "asked for 2 tasks, not for tasks on each machine: ask with --ntasks-per-node"),
        ({"SLURM_NTASKS": "1"}, 4, "4 processes in a job of SLURM, but this one was started alone .* with srun"),
        ({"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_NTASKS_PER_NODE": "2"}, 4, "started 2 tasks but 4 process"),
    ],
)
def test_tasks_of_slurm_that_are_not_the_processes_are_refused(monkeypatch, job, processes, message):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        devices.require_launcher(1, processes)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    devices.require_launcher(1, processes)  # Lightning starts its processes itself there
    monkeypatch.delenv("SLURM_JOB_NAME")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    devices.require_launcher(2, processes)


def test_tasks_of_slurm_that_are_the_processes_are_taken(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.delenv("SLURM_JOB_NAME", raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    devices.require_launcher(1, 1)  # one process needs no srun
    for name, value in {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    devices.require_launcher(2, 4)


def test_processes_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert devices.count_processes(None) == 1
    assert devices.count_processes("0,3", num_nodes=2) == 4
    assert devices.count_processes("-1", num_nodes=2) == 16
    assert devices.count_processes(None, num_processes=3) == 3


def test_memory_that_is_refused_is_one_line_with_its_size(tmp_path, capsys):
    """More than a process can address: less is promised where a machine is told to promise what it has not."""
    args = cli.parse("discover", [*DIGITS, "--width", "2000000", "--log_dir", str(tmp_path / "logs")])
    with pytest.raises(SystemExit) as stopped:
        cli.run(lambda given: experiment.discover(Discoverer, given), args)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "error: a piece of memory was asked for that is not there (131.0 TiB); lower" in error
    assert error.count("\n") == 1
    with pytest.raises(RuntimeError, match="allocate"):
        cli.run(lambda given: experiment.discover(Discoverer, given), Namespace(**vars(args) | {"debug": True}))


def torch_refuses():
    torch.empty(10**14)


def numpy_refuses():
    np.empty(10**14)


def torch_cannot_count():
    torch.empty(2**31, 2**31, 2**31)


@pytest.mark.parametrize(
    ("refuse", "size"),
    [(torch_refuses, "363.8 TiB"), (numpy_refuses, "728. TiB"), (torch_cannot_count, "more than can be counted")],
)
def test_how_libraries_refuse_memory(refuse, size):
    with pytest.raises((RuntimeError, MemoryError)) as refused:
        refuse()
    assert f"({size})" in str(told(refused.value))


def test_a_gpu_that_refuses_memory_and_errors_that_are_no_refusal():
    text = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1 is free."
    assert "(2.00 GiB)" in str(told(torch.OutOfMemoryError(text)))
    assert "unknown size" in str(told(MemoryError()))
    for error in (RuntimeError("shapes differ"), ValueError("no"), OSError(2, "absent"), KeyError("x")):
        assert told(error) is None


def photos(root, labelled=4, unlabelled=3):
    for number in range(labelled):
        folder = root / "train" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(80, 80, 3)).save(folder / f"{number}.png")
    (root / "unlabeled").mkdir()
    for number in range(unlabelled):
        Image.fromarray(pixels(80, 80, 3)).save(root / "unlabeled" / f"{number}.png")
    return ["--dataset", "folder", "--data_dir", str(root), "--num_labeled_classes", "2", "--batch_size", "2"]


def test_more_novel_classes_than_images(tmp_path):
    flags = photos(tmp_path / "photos")
    with pytest.raises(
        UserError, match="--num_unlabeled_classes 4: only 3 training images are not of labelled classes"
    ):
        discover(tmp_path, *flags, "--num_unlabeled_classes", "4")


def test_a_batch_size_for_no_images_advises_nothing_impossible():
    with pytest.raises(UserError, match="is larger than the 3 training images; choose at most 3"):
        check_batch_size(8, 1, 3, half_batches=False)
    for processes, images in ((1, 1), (4, 3)):
        with pytest.raises(UserError, match="training needs at least two for each process"):
            check_batch_size(8, processes, images, half_batches=False)


def test_workers_are_no_more_than_batches_and_too_many_are_said_once(monkeypatch, capsys):
    monkeypatch.setattr(workers, "cores", lambda: 4)
    workers._warn.cache_clear()
    assert [workers.usable_workers(5000, batches) for batches in (3, 20, 30)] == [3, 20, 30]
    assert workers.usable_workers(4, 30) == 4
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "--num_workers 5000 is more than the 4 cores of this machine" in said


@pytest.mark.parametrize("stage", ["pretrain", "discover", "predict"])
def test_workers_are_no_more_than_cores_by_default(stage):
    needed = ["--checkpoint", "x"] * (stage == "predict")
    assert cli.parse(stage, needed).num_workers == min({"predict": 2}.get(stage, 10), devices.cores())


def test_torch_and_lightning_are_quiet(monkeypatch):
    """No warning of torch's about workers, none of Lightning's about sets that are empty."""
    monkeypatch.setattr(workers, "cores", lambda: 4)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        FileEvalLoader(
            ["x.png"] * 50, np.zeros(50), EvalPipeline(EvalSpec(8), (0,) * 3, (1,) * 3), batch_size=1, num_workers=50
        )
        silence_lightning()
        text = "Total length of `EvalLoader` across ranks is zero. Please make sure this was your intention."
        warnings.warn_explicit(text, UserWarning, "data.py", 106, module="pytorch_lightning.utilities.data")
    assert not seen
