"""Weights & Biases: how runs are sorted, sweeps as its agent starts them, the workspace as JSON; no login is needed."""

import argparse
import csv
import importlib.util
import json
import runpy

import pytest
import yaml

from tests.conftest import ROOT
from utils import cli
from utils.errors import UserError

SWEEPS = sorted((ROOT / "scripts" / "wandb").glob("*.yaml"))
BY_NAME = {"ids": lambda path: path.stem}
IIC = {"inter": 0.05, "intra": 0.01}
WORKSPACE = runpy.run_path(str(ROOT / "scripts" / "wandb" / "workspace.py"))


def labels(words="", stage="discover", factors=IIC):
    return cli.run_labels(cli.parse(stage, f"--dataset CIFAR10 {words}".split(), factors=factors), stage)


# How runs are sorted


def test_seeds_share_a_group_and_other_settings_do_not():
    first = labels("--seed 0 --comment a --log_dir x --num_workers 1")
    assert labels("--seed 1 --comment b --log_dir y --num_workers 2 --no-report").group == first.group
    others = ("--num_heads 2", "--factor_inter 0.1", "--max_epochs 3", "--base_lr 0.1", "--arch resnet50")
    assert len({labels(words).group for words in ("", *others)}) == 1 + len(others)
    assert labels().group == first.group


@pytest.mark.parametrize(
    ("words", "stage", "factors", "tags"),
    [
        ("--num_labeled_classes 5 --num_unlabeled_classes 5", "discover", {}, ("cifar10-5", "uno", "seed0")),
        ("--num_labeled_classes 5 --num_unlabeled_classes 5", "pretrain", {}, ("cifar10-5", "supervised", "seed0")),
        ("--num_unlabeled_classes 5 --seed 3", "discover", IIC, ("cifar10-5", "inter_intra", "seed3")),
        ("--dataset ImageNet --imagenet_split B", "discover", IIC, ("imagenet-b", "inter_intra", "seed0")),
        ("--setting gcd", "gcd", {}, ("cifar10-gcd", "simgcd", "seed0")),
        ("--dataset cifar10 --method simclr", "disentangle", {}, ("cifar10", "simclr", "seed42")),
    ],
)
def test_tags_are_split_method_and_seed(words, stage, factors, tags):
    found = labels(words, stage, factors)
    assert (found.job_type, found.tags) == (stage, tags)
    assert found.group.startswith(f"{stage}-")


def test_labels_are_no_longer_than_wandb_takes():
    found = labels(f"--dataset npz:{'x' * 200}.npz")
    assert len(found.group) <= 128
    assert max(map(len, found.tags)) <= 64


def test_runs_of_a_sweep_have_folders_of_their_own(monkeypatch):
    args = argparse.Namespace(arch="resnet18", dataset="CIFAR10", comment="c")
    monkeypatch.setenv("WANDB_RUN_ID", "abc")  # by itself no sweep
    assert cli.run_name(args, "discover") == "discover-resnet18-CIFAR10-c"
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    assert cli.run_name(args, "discover") == "discover-resnet18-CIFAR10-c-abc"


# Sweeps


@pytest.mark.parametrize("path", SWEEPS, **BY_NAME)
def test_sweeps_are_what_the_schema_of_wandb_asks_for(path):
    sweeps = pytest.importorskip("sweeps", reason="W&B's package of sweeps is not installed (it needs numpy below 2)")
    assert sweeps.schema_violations_from_proposed_config(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", SWEEPS, **BY_NAME)
def test_the_agent_of_wandb_starts_the_settings_of_the_split(path, tmp_path, monkeypatch):
    """The last point of the grid, by the agent's own code; a stand-in for python says what it was given."""
    pytest.importorskip("wandb", reason="W&B is not installed")
    from wandb.sdk.launch.sweeps.utils import load_sweep_config
    from wandb.wandb_agent import Agent

    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$WANDB_RUN_ID" "$@" > {tmp_path}/words\n')
    stand_in.chmod(0o755)
    for name, value in {"PYTHON": stand_in, "WANDB_DIR": tmp_path, "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": ""}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")  # both are set by the agent, and put back after the test
    monkeypatch.chdir(ROOT)
    sweep = load_sweep_config(str(path))
    point = {name: {"value": row["values"][-1]} for name, row in sweep["parameters"].items()}
    agent = Agent(api=None, queue=None, sweep_id="s")
    agent._sweep_command = sweep["command"]
    agent._command_run({"run_id": "abc", "program": sweep["program"], "args": point})
    assert agent._run_processes["abc"].wait(timeout=60) == 0
    run_id, main, *words = (tmp_path / "words").read_text().splitlines()
    assert (run_id, main) == ("abc", "main_discover_inter_intra.py")
    args = vars(cli.parse("discover", words, factors=IIC))
    given = {name: row["value"] for name, row in point.items()}
    assert {name: args[name] for name in given} == given
    split = {"max_epochs": 500, "batch_size": 512, "num_heads": 4, "overcluster_factor": 10, "multicrop": True}
    split |= {"factor_inter": 0.05, "factor_intra": 0.01, "seed": 0}
    assert {name: args[name] for name in split} == split | {name: given[name] for name in given if name in split}


# The workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the script writes."""
    pytest.importorskip("wandb_workspaces", reason="requirements-wandb.txt is not installed")
    out = tmp_path_factory.mktemp("workspace") / "workspace.json"
    WORKSPACE["main"](argparse.Namespace(entity="team", project="IIC", name="name", out=out))
    return json.loads(out.read_text())


def test_the_workspace_has_the_panels_and_folds_seeds(made):
    assert (made["entity"], made["project"], made["displayName"]) == ("team", "IIC", "name")
    (runs,) = made["spec"]["section"]["runSets"]
    assert runs["grouping"] == [{"section": "run", "name": "group"}]
    sections = made["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel["config"] for section in sections for panel in section["panels"]]
    drawn = {key for panel in panels for key in panel.get("metrics", [])}
    assert drawn >= {f"unlab/{part}/acc/{kind}" for part in ("train", "test") for kind in ("best", "avg")}
    assert drawn >= {"loss", "inter_loss", "intra_loss", "mse_loss", "lr", "images_per_second"}
    assert drawn >= {"incremental/unlab/train/acc/best", "incremental/lab/test/acc"}
    assert {panel["groupArea"] for panel in panels if "metrics" in panel} == {"stddev"}
    assert [panel["mediaKeys"] for panel in panels if "mediaKeys" in panel] == [["confusion"], ["curves"]]


def test_a_workspace_replaces_an_older_one_and_nothing_else(made, tmp_path):
    args = argparse.Namespace(entity="team", project="IIC", name="name", out=tmp_path / "w.json")
    for _ in range(2):
        WORKSPACE["main"](args)
    for text in ("my own", '{"entity": "mine"}', "[]"):
        args.out.write_text(text)
        with pytest.raises(UserError, match=r"w\.json is there already and is no older workspace .*choose another$"):
            WORKSPACE["main"](args)
        assert args.out.read_text() == text


def test_keys_of_panels_are_those_that_a_run_logs(tiny_run):
    with open(tiny_run[0] / "metrics.csv", newline="") as file:
        logged = set(next(csv.reader(file))) | {"images_per_second", "mse_loss", "val/acc"}
    others = {"Generalized discovery", "Contrastive disentangling"}
    sections = {name: panels for name, panels in WORKSPACE["SECTIONS"].items() if name not in others}
    drawn = {key for panels in sections.values() for keys in panels.values() for key in keys}
    assert drawn - logged == {"loss_supervised", "loss_instance", "loss_feature"}  # pretraining's, the contrastive
    assert set(WORKSPACE["COLUMNS"]) <= logged


def test_without_a_login_or_the_package_the_workspace_is_one_line(made, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    args = argparse.Namespace(entity="team", project="IIC", name="name", out=None)
    with pytest.raises(UserError, match=r"^no login to W&B on this machine: wandb login, or give --out FILE\.json"):
        WORKSPACE["main"](args)
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-wandb\.txt"):
        WORKSPACE["main"](args)


def test_a_folder_called_wandb_is_not_the_package(monkeypatch, tmp_path, capsys):
    """W&B's agent leaves one where it is started, and a folder can be imported."""
    from utils.training.loggers import wandb_logger

    (tmp_path / "wandb").mkdir()
    spec = importlib.util.spec_from_loader("wandb", loader=None, is_package=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert wandb_logger(tmp_path, "IIC") == []
    assert capsys.readouterr().out == "W&B is not installed: metrics go to metrics.csv alone\n"
