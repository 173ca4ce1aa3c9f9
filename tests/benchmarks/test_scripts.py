"""Every benchmark runs, at a size that says nothing about speed."""

import functools
import importlib
import inspect
import json
import re
import sys
from argparse import Namespace

import pytest
import torch

from tests.conftest import ROOT

SMALL = {
    "discover_step": "--batch_size 4 --steps 1 --width 8 --precision 32 --num_heads 2",
    "views": "--batch_size 4 --rounds 1 --workers 1",
    "evaluate": "--samples 200 --rounds 1",
    "decode": "--images 2 --rounds 1 --width 60 --height 50",
    "dispatches": "--threads 1 --dearest views",
    "loop": "--image_size 8 --width 8 --epochs 1 --limit_train_batches 1",
    "disentangle_step": "--batch_size 4 --steps 1 --width 8 --image_size 16",
    "baselines_step": "--batch_size 4 --rounds 1 --width 8",
    "frozen": "--images 64 --backbone_size 32 --feature_views 2",
    "growth": "--width 4 --hidden_dim 8 --rounds 1",
    "startup": "--rounds 1",
}
SLOW = {"startup"}  # whole commands, one after the other
PATCHED = {  # sizes that are no flags
    "growth": {
        "BASE": {"batch": 4, "heads": 1, "classes": 4},
        "SWEEPS": {"batch": [4, 8], "heads": [1, 2], "classes": [4, 6]},
    }
}
ELSEWHERE = {
    **dict.fromkeys(("plain", "plain_run", "view_law"), "test_plain.py"),
    **dict.fromkeys(("gpu_check", "gpu_right", "gpu_speed"), "test_gpu_check.py"),
    **{"class_number": "test_class_number.py", "generalized": "test_generalized.py"},
    **dict.fromkeys(("measure", "commands", "soak"), "here"),
}


def test_every_benchmark_is_tried():
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == {*SMALL, *ELSEWHERE}


@pytest.fixture(autouse=True)
def threads():
    """Some benchmarks set the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in SMALL])
def test_a_benchmark_prints_a_table_and_writes_json(name, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.delitem(sys.modules, name, raising=False)  # evaluate.py of the root may be there under this name
    path, module = tmp_path / "new" / "result.json", importlib.import_module(name)
    for constant, value in PATCHED.get(name, {}).items():
        monkeypatch.setattr(module, constant, value)
    module.main([*SMALL[name].split(), "--device", "cpu", "--json", str(path)])
    written = json.loads(path.read_text())
    assert {"title", "device", "command"} < set(written)
    assert capsys.readouterr().out.count("|---") >= 1


def test_the_bare_loop_makes_as_many_steps_as_lightning_s(monkeypatch):
    """More than half of those that the loader has: 22 of the digits."""
    import main_discover_inter_intra

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    taken, steps = main_discover_inter_intra.Discoverer.training_step, []

    def counted(module, batch, step):
        steps.append(step)
        return taken(module, batch, step)

    monkeypatch.setattr(main_discover_inter_intra.Discoverer, "training_step", counted)
    words = "--image_size 8 --width 8 --epochs 1 --limit_train_batches 12 --device cpu"
    importlib.import_module("loop").main(words.split())
    assert steps == [*range(12)] * 4  # two epochs, each followed by a bare one


def test_a_teacher_is_where_the_step_is(monkeypatch):
    from baselines import rkd

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(rkd.Discoverer, "configure_optimizers", lambda module: ([None], []))  # a fused one needs values
    step = importlib.import_module("baselines_step").step(
        Namespace(device="meta", batch_size=4, width=8), rkd.Discoverer
    )
    module = inspect.getclosurevars(step).nonlocals["module"]
    parts = module, module.teacher.encoder, module.teacher.head
    assert {value.device.type for part in parts for value in part.parameters()} == {"meta"}


def test_a_soak_samples_memory_files_and_time(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    words = "--steps 10 --limit_train_batches 5 --batch_size 8 --image_size 8 --hidden_dim 16 --proj_dim 8"
    words += " --num_heads 2 --limit_val_batches 1 --eval_batch_size 8 --num_sanity_val_steps 0 --no-report"
    monkeypatch.setattr(sys, "argv", ["soak.py", *words.split()])
    importlib.import_module("soak").main()
    header, *lines, end = capsys.readouterr().out.splitlines()[-12:]
    assert header.split() == ["steps", "MiB", "files", "ms", "a", "step"]
    assert [line.split()[0] for line in lines] == [str(step) for step in range(1, 11)]
    assert re.fullmatch(r"memory [+-]\d+\.\d %, files [+-]\d+", end)


def test_a_command_that_fails_is_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    run = importlib.import_module("startup").run
    run(["-c", "raise SystemExit(2)"], 2)
    with pytest.raises(RuntimeError, match="ended with 3, not 0: no room"):
        run(["-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"], 0)


def test_work_in_a_process_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measure = importlib.import_module("measure")
    work = measure.apart(functools.partial, int, "7")
    work()
    work()
    with pytest.raises(RuntimeError, match="ZeroDivisionError: integer"):
        measure.apart(functools.partial, divmod, 1, 0)()
