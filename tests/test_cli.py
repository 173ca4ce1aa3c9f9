"""Flags: every published command, their meaning for the Trainer, and one-line errors. No torch is imported for them."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from utils import cli
from utils.cli.settings import resolve
from utils.errors import NonFiniteError, UserError

MAINS = sorted(path.name for path in ROOT.glob("main_*.py"))
PUBLISHED = """
main_pretrain.py --dataset CIFAR10 --gpus 1 --precision 16 --max_epochs 200 --batch_size 256 --num_labeled_classes 5
--num_unlabeled_classes 5 --comment 5_5
main_pretrain.py --dataset ImageNet --gpus 2 --precision 16 --max_epochs 100 --batch_size 256 --num_labeled_classes 882
--num_unlabeled_classes 30 --comment 882_30 --num_workers 8 --warmup_epochs 5 --distributed_backend ddp --sync_batchnorm
main_discover_inter_intra.py --dataset CIFAR100 --gpus 1 --precision 16 --max_epochs 500 --batch_size 512
--num_labeled_classes 80 --num_unlabeled_classes 20 --pretrained x.cp --num_heads 4 --overcluster_factor 5
--factor_inter 0.02 --factor_intra 0.01 --comment 80_20_inter_intra --multicrop
main_discover_inter_intra.py --dataset ImageNet --gpus 2 --precision 16 --max_epochs 60 --batch_size 256
--num_labeled_classes 882 --num_unlabeled_classes 30 --pretrained x.cp --num_heads 2 --overcluster_factor 4
--factor_inter 0.05 --factor_intra 0.01 --comment 882_30-A_inter_intra --multicrop --base_lr 0.2 --warmup_epochs 5
--imagenet_split A --distributed_backend ddp --sync_batchnorm
"""


def run(*argv):
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, timeout=60)


def config(*argv):
    done = run(*argv, "--print_config")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def check_command(words):
    """What --print_config says of a published command has to be what the command asks for."""
    printed = config(*words)
    settings, trainer = printed["settings"], printed["trainer"]
    given = dict(zip(words[1::1], [*words[2:], "--"], strict=True))
    for flag, value in given.items():
        if flag.startswith("--") and not value.startswith("--"):
            assert str(settings[flag[2:]]) == value, flag
        elif flag.startswith("--"):
            assert settings[flag[2:]] is True, flag
    assert trainer["accelerator"] == "gpu"
    assert trainer["devices"] == int(given["--gpus"])
    assert trainer["precision"] == "16-mixed"
    assert trainer["max_epochs"] == int(given["--max_epochs"])
    assert trainer["strategy"] == ("ddp" if "--distributed_backend" in given else "auto")
    assert trainer["sync_batchnorm"] is ("--sync_batchnorm" in given)


@pytest.mark.parametrize("command", re.split(r"\n(?=main_)", PUBLISHED.strip()))
def test_published_commands(command):
    check_command(shlex.split(command))


def test_every_command_of_the_seed():
    seed = ROOT.parent / "shared" / "seeds" / "iic.txt"
    if not seed.is_file():
        pytest.skip("../shared/seeds/iic.txt is not here")
    commands = re.findall(
        r"^CUDA_VISIBLE_DEVICES=\S+ python (main_(?:.*\\\n)*.*)$", seed.read_text(), flags=re.MULTILINE
    )
    assert len(commands) == 8
    for command in commands:
        check_command(shlex.split(command.replace("\\\n", " ")))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"accelerator": "auto", "devices": 1, "strategy": "auto", "precision": "32-true", "num_nodes": 1}),
        (["--gpus", "0"], {"accelerator": "cpu", "devices": 1}),
        (["--gpus", "2"], {"accelerator": "gpu", "devices": 2}),
        (["--gpus", "-1"], {"accelerator": "gpu", "devices": -1}),
        (["--gpus", "0,1"], {"accelerator": "gpu", "devices": [0, 1]}),
        (["--gpus", "3,"], {"accelerator": "gpu", "devices": [3]}),
        (["--num_processes", "2"], {"accelerator": "cpu", "devices": 2}),
        (["--precision", "16"], {"precision": "16-mixed"}),
        (["--precision", "bf16"], {"precision": "bf16-mixed"}),
        (["--precision", "64"], {"precision": "64-true"}),
        (["--distributed_backend", "ddp", "--num_nodes", "2"], {"strategy": "ddp", "num_nodes": 2}),
        (["--sync_batchnorm"], {"sync_batchnorm": True}),
        (["--limit_train_batches", "20"], {"limit_train_batches": 20}),
        (["--limit_train_batches", "0.25"], {"limit_train_batches": 0.25}),
        (["--fast_dev_run"], {"fast_dev_run": 1}),
        (["--fast_dev_run", "3"], {"fast_dev_run": 3}),
        (["--max_epochs", "7"], {"max_epochs": 7}),
        (["--deterministic"], {"deterministic": True}),
    ],
)
def test_trainer_arguments(flags, expected):
    arguments = cli.trainer_arguments(cli.parse("discover", flags))
    assert {name: arguments[name] for name in expected} == expected


PUBLISHED_DEFAULTS = {  # of both stages, but for personal ones
    **{"dataset": "CIFAR100", "num_labeled_classes": 80, "num_unlabeled_classes": 20, "imagenet_split": "A"},
    **{"download": False, "data_dir": "data", "log_dir": "logs", "batch_size": 256, "arch": "resnet18"},
    **{"min_lr": 0.001, "momentum_opt": 0.9, "warmup_epochs": 10, "temperature": 0.1, "num_large_crops": 2},
    **{"pretrained": None, "entity": None, "offline": False, "gpus": None, "precision": "32"},
    **{"num_nodes": 1, "distributed_backend": None, "sync_batchnorm": False, "resume_from_checkpoint": None},
}
OF_A_STAGE = {
    "pretrain": {"base_lr": 0.1, "weight_decay_opt": 1e-4, "max_epochs": 200, "checkpoint_dir": "checkpoints_iic"},
    "discover": {
        **{"base_lr": 0.4, "weight_decay_opt": 1.5e-4, "max_epochs": 500, "multicrop": False, "num_small_crops": 2},
        **{"num_heads": 5, "hidden_dim": 2048, "proj_dim": 256, "num_hidden_layers": 1, "overcluster_factor": 3},
        **{"num_iters_sk": 3, "epsilon_sk": 0.05},
    },
}


@pytest.mark.parametrize("stage", OF_A_STAGE)
def test_published_flags_and_their_defaults(stage):
    expected = PUBLISHED_DEFAULTS | OF_A_STAGE[stage]
    args = vars(cli.parse(stage, []))
    assert {name: args[name] for name in expected} == expected


PUBLISHED_GCD = {
    **{"max_epochs": 200, "base_lr": 0.1, "min_lr": 1e-4, "weight_decay_opt": 5e-5, "momentum_opt": 0.9},
    **{"warmup_epochs": 0, "sup_weight": 0.35, "memax_weight": 2, "temperature": 0.1, "prop_train_labels": 0.5},
    **{"warmup_teacher_temp": 0.07, "teacher_temp": 0.04, "warmup_teacher_temp_epochs": 30, "sampler": "balanced"},
    **{"num_mlp_layers": 3, "hidden_dim": 2048, "proj_dim": 256, "standardize": False, "num_large_crops": 2},
}
FROZEN_GCD = {"max_epochs": 60, "warmup_teacher_temp_epochs": 15, "num_mlp_layers": 0, "standardize": True}
FROZEN_GCD |= {"sampler": "shuffled", "memax_weight": 4, "train": "frozen"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", PUBLISHED_GCD),
        ("--backbone lite0 --train last_block", PUBLISHED_GCD),
        ("--backbone lite0", FROZEN_GCD),
        ("--backbone lite0 --max_epochs 7 --no-standardize", FROZEN_GCD | {"max_epochs": 7, "standardize": False}),
    ],
)
def test_defaults_of_generalized_discovery_depend_on_what_is_trained(words, expected):
    args = vars(cli.parse("gcd", ["--dataset", "CIFAR10", *words.split()]))
    assert {name: args[name] for name in expected} == expected


@pytest.mark.parametrize("flag", ["multicrop", "sync_batchnorm", "offline", "download", "wandb", "deterministic"])
def test_a_switch_has_both_directions(flag):
    assert [getattr(cli.parse("discover", [f"--{no}{flag}"]), flag) for no in ("", "no-")] == [True, False]


@pytest.mark.parametrize(
    ("main", "factors"),
    [
        ("main_discover", {}),
        ("main_discover_inter", {"factor_inter": 0.01}),
        ("main_discover_intra", {"factor_intra": 0.01}),
        ("main_discover_inter_intra", {"factor_inter": 0.05, "factor_intra": 0.01}),
        ("main_discover_mse", {"factor_mse": 0.01}),
    ],
)
def test_default_factors(main, factors):
    settings = config(f"{main}.py")["settings"]
    assert {name: value for name, value in settings.items() if name.startswith("factor_")} == factors


@pytest.mark.parametrize("main", MAINS)
def test_help_imports_no_torch(main):
    code = f"import runpy, sys; sys.argv = ['{main}', '--help']\ntry: runpy.run_path('{main}', run_name='__main__')\n"
    code += "finally: assert 'torch' not in sys.modules and 'pytorch_lightning' not in sys.modules"
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert "python main_" in done.stdout
    assert "hardware:" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--num_head", "4"], "unknown flag '--num_head'; did you mean --num_heads?"),
        (
            ["--dataset", "CIFAR"],
            "unknown dataset 'CIFAR'; known are CIFAR10, CIFAR100, ImageNet, digits, npz:<file>, folder",
        ),
        (["--num_heads", "0"], "--num_heads is 0 but must be at least 1"),
        (["--num_large_crops", "0"], "--num_large_crops is 0 but must be at least 1"),
        (["--num_large_crops", "1"], "swapped prediction needs two views"),
        (["--num_large_crops", "1", "--multicrop", "--num_small_crops", "0"], "swapped prediction needs two views"),
        (["--imagenet_split", "D"], "invalid choice: 'D'"),
        (["--gpus", "two", "--print_config"], "--gpus is 'two' but must be a number, -1 or a list such as 0,1"),
        (["--gpus", "1", "--num_processes", "2"], "--num_processes is for the CPU"),
        (["--temperature", "0"], "--temperature is 0.0 but must be above 0"),
        (["--batch_size", "many"], "argument --batch_size"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_2(argv, message):
    done = run("main_discover.py", *argv)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("main_discover.py: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["main_discover.py --print_config", "scripts/compare.py --list", "train.py --help"])
def test_a_reader_who_leaves_is_no_error(words):
    """As in ``--list | head -1``, where head may be gone before there is anything to read."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, *words.split()]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # argparse passes over it


@pytest.mark.parametrize(
    "words",
    ["main_discover.py --dataset digits", "main_predict.py --checkpoint x --images .", "train.py --dataset digits"],
)
def test_ctrl_c_while_libraries_are_imported_is_no_traceback(tmp_path, words):
    """A torch that is found before the installed one receives the signal: before the main, or within it."""
    (tmp_path / "torch.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *words.split()]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests ignore it
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (UserError("no such\nfolder"), 2, "error: no such\\nfolder\n"),
        (NonFiniteError("not finite"), 3, "error: not finite\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(143), 143, ""),
        (1, 1, ""),
        (0, None, ""),
    ],
)
def test_exit_codes(ending, code, said, capsys):
    def main(args):
        if isinstance(ending, BaseException):
            raise ending
        return ending

    found = None
    try:
        cli.run(main, argparse.Namespace())
    except SystemExit as ended:
        found = ended.code
    assert found == code
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize("error", [BrokenPipeError("of a connection"), RuntimeError("of the program")])
def test_what_the_user_cannot_mend_is_an_error(error):
    def main(args):
        raise error

    with pytest.raises(type(error), match=str(error)):
        cli.run(main, argparse.Namespace())


def test_resolve_completes_and_refuses():
    settings = resolve("discover", {"num_heads": 2, "factor_new": 1.0}, {"inter": 0.5})
    assert (settings["num_heads"], settings["factor_new"], settings["factor_inter"]) == (2, 1.0, 0.5)
    with pytest.raises(UserError, match="did you mean 'num_heads'"):
        resolve("discover", {"num_head": 2})
    with pytest.raises(UserError, match="--proj_dim is 0"):
        resolve("discover", {"proj_dim": 0})
