"""The check of a GPU, rehearsed on the CPU: all parts run; one that fails is listed, and the others go on."""

import importlib
import json
import multiprocessing
import time
from argparse import Namespace

import pytest
import torch

from tests.conftest import ROOT

FAILING = """
import os, time

def raises(args):
    yield {"what": "first", "value": 1}
    raise ValueError("second\\nline")

def judges(args):
    yield {"what": "apart", "value": 2, "limit": "≤ 1", "right": "NO"}

def dies(args):
    os._exit(7)

def hangs(args):
    time.sleep(60)
    yield {}
"""


@pytest.fixture
def gpu_check(monkeypatch, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gpu_check")


def test_the_rehearsal(gpu_check, tmp_path, capsys):
    path = tmp_path / "new" / "check.json"
    assert gpu_check.main(["--device", "cpu", "--tiny", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert list(found["parts"]) == list(gpu_check.PARTS)
    assert all(part["rows"] and not part["error"] for part in found["parts"].values())
    printed = capsys.readouterr().out
    assert printed.count("|---") == 5  # the columns of one table
    assert "uno, golden, float64" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(gpu_check, tmp_path, capsys):
    assert gpu_check.main(["--json", str(tmp_path / "check.json")]) == 2
    assert capsys.readouterr().out.startswith("no CUDA device here")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("raises", "ValueError: second"),
        ("judges", "apart: 2"),
        ("dies", "its process ended with the exit code 7"),
        ("hangs", "took more than its 2 seconds"),
    ],
)
def test_a_part_that_fails_is_told(gpu_check, function, error, tmp_path):
    args = Namespace(json=str(tmp_path / "check.json"), threads=1)
    context = multiprocessing.get_context("spawn")
    part = gpu_check._part(context, ("failing", function, 1), args, 2 if function == "hangs" else 60)
    assert part["error"] == error
    assert [row["what"] for row in part["rows"]] == {"raises": ["first"], "judges": ["apart"]}.get(function, [])


def test_a_part_that_is_slow_to_begin_is_killed_in_time(gpu_check, monkeypatch, tmp_path):
    """Out of its time before it has a process group, as when an import hangs."""
    monkeypatch.setattr(gpu_check, "_child", lambda *_: time.sleep(60))
    args = Namespace(json=str(tmp_path / "check.json"), threads=1)
    part = gpu_check._part(multiprocessing.get_context("fork"), ("failing", "hangs", 1), args, 0.2)
    assert part["error"] == "took more than its 0 seconds"
    assert part["seconds"] < 30


def test_no_part_begins_without_time(gpu_check, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu_check, "SECONDS_OF_REHEARSAL", 0.0)
    monkeypatch.setattr(gpu_check, "_part", lambda *_: {"rows": [{"device": "cpu"}], "error": "", "seconds": 0.0})
    path = tmp_path / "check.json"
    assert gpu_check.main(["--device", "cpu", "--tiny", "--json", str(path), "--parts", "parity"]) == 1
    assert json.loads(path.read_text())["parts"]["parity"]["error"] == "no time was left for it"
