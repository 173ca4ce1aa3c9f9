"""The quick start, on few steps: three commands in one, the table that README shows, the files that it names."""

import argparse
import json
import re
import runpy
import shutil
import subprocess

import pytest
import torch
import yaml

from tests.conftest import ROOT

SHORT = "--max_epochs 1 --warmup_epochs 0 --limit_train_batches 2 --num_sanity_val_steps 0 --image_size 8"


def without_numbers(text):
    return [re.sub(r"\d\.\d{3}", "#", line.rstrip()) for line in text.strip("\n").splitlines()]


def test_it_ends_with_the_table_of_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = {"seed": "3", "log_dir": "logs", "run_name": "quickstart", "threads": torch.get_num_threads()}
    main = runpy.run_path(str(ROOT / "scripts" / "quickstart.py"))["main"]
    main(argparse.Namespace(**given, flags=SHORT.split()))
    said, folder = capsys.readouterr().out, tmp_path / "logs" / "quickstart"
    (shown,) = re.findall(r"^```\n( +acc .*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    table, after = said[said.index(shown.splitlines()[0]) :].split("\n\n")
    assert without_numbers(table) == without_numbers(shown)
    assert re.fullmatch(r"\d+ seconds; open logs/quickstart/report\.html in a browser\n", after)

    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("unlab/test/acc/best", "lab/test/acc", "baseline/kmeans_pixels/acc", "baseline/kmeans_features/acc"):
        assert f"{metrics[name]:.3f}" in table, name
    for name in ("report.html", "curves.png", "last.ckpt", "pretrain/last.ckpt"):
        assert (folder / name).is_file(), name
    settings = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert (settings["seed"], settings["factor_inter"]) == (3, 0.1)
    assert (tmp_path / settings["pretrained"]).is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_starts_it_with_a_seed():
    done = subprocess.run(["make", "-n", "quickstart", "SEED=3"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert any(line.endswith("/python scripts/quickstart.py --seed 3") for line in done.stdout.splitlines())
