"""Published runs: their flags come from the scripts; they end in time, and a stopped one leaves the row of another."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scripts import compare
from tests.conftest import ROOT, read_table
from utils import cli
from utils.comparison.commands import Place, Run, all_runs
from utils.comparison.published import SPLITS, fetch, published_protocol
from utils.comparison.runs import Runner
from utils.comparison.stopping import Stopped

SMALL = "--gpus 0 --precision 32 --width 8 --hidden_dim 16 --proj_dim 8 --num_heads 2 --batch_size 30 --warmup_epochs 1"


@pytest.mark.parametrize("split", SPLITS)
def test_the_flags_are_those_of_the_scripts(split, tmp_path):
    protocol = published_protocol(split)
    assert {"uno_v2", "inter", "intra", "iic", "mse", "rs", "rkd"} < set(protocol.methods)
    runs = all_runs(protocol, ["iic"], [1], Place(tmp_path, tmp_path, tmp_path))
    assert [run.method for run in runs] == ["pretraining", "iic"]
    script = (ROOT / "scripts" / split / "discover.sh").read_text()
    main, *words = runs[1].words
    assert main == "main_discover_inter_intra.py"
    args = cli.parse("discover", words, factors={"inter": 0.05, "intra": 0.01})
    assert (args.seed, args.max_epochs, args.batch_size, args.multicrop, args.precision) == (1, 500, 512, True, "16")
    assert f"--factor_inter {args.factor_inter}" in script
    assert args.pretrained.endswith(".cp")
    assert args.resume_from_checkpoint == "auto"
    assert cli.parse("pretrain", list(runs[0].words[1:])).max_epochs == 200


HEEDS = """
import pathlib, signal, sys, time
def stop(*args):
    pathlib.Path(sys.argv[1]).write_text("checkpoint")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop if sys.argv[2] == "heeds" else signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["heeds", "does not"])
def test_a_run_ends_before_the_time_is_up(kind, tmp_path):
    (tmp_path / "run.py").write_text(HEEDS)
    words = (str(tmp_path / "run.py"), str(tmp_path / "saved"), kind)
    run = Run("iic", 0, words, tmp_path / "metrics.json", tmp_path / "iic-seed0.txt")
    until = time.monotonic() + (8 if kind == "heeds" else 3)  # asked after a half, ended after seven eighths
    with Runner(Place(tmp_path, tmp_path, tmp_path), until).installed() as runner:
        with open(tmp_path / "lock", "w") as lock, pytest.raises(Stopped) as stopped:
            runner.run(run, lock.fileno())
        with pytest.raises(Stopped):
            runner.check()  # nor does another begin
    assert stopped.value.number == signal.SIGALRM
    assert time.monotonic() < until
    assert (tmp_path / "saved").is_file() == (kind == "heeds")


def test_data_are_fetched_in_time_and_only_where_there_are_none(tmp_path, capsys):
    words = ["cifar10-5", "--download", "--data_dir", str(tmp_path), "--budget", "0.01", "--results", str(tmp_path)]
    assert compare.main(compare.command_line().parse_args(words)) == 75
    assert capsys.readouterr().out == "stopped within 0.01 seconds; the same command goes on\n"
    (tmp_path / "cifar10.npz").touch()
    fetch(SPLITS["cifar10-5"], tmp_path, 100)


def small_cifar(folder: Path) -> None:
    """cifar10.npz with a dozen training images a class, whose brightness tells it."""
    generator, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 12), ("test", 4)):
        labels = np.repeat(np.arange(10), count)
        noise = generator.integers(0, 60, (len(labels), 32, 32, 3))
        arrays |= {f"{part}_images": (noise + 18 * labels[:, None, None, None]).astype(np.uint8)}
        arrays |= {f"{part}_labels": labels}
    np.savez(folder / "cifar10.npz", **arrays)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # for 100 seconds of CPU time: others may use the machine too
def test_stopped_and_killed_it_leaves_the_same_row(tmp_path):
    """Rehearsed on the CPU: a call that is killed, calls that stop by themselves, and one that finishes.

    No time in it is of the clock alone: the calls are stopped after parts of what a whole one took on this machine.
    """
    small_cifar(tmp_path)
    command = [sys.executable, "scripts/compare.py", "cifar10-5", "--methods", "iic", "--seeds", "0", "--download"]
    command += ["--threads", "1", "--data_dir", str(tmp_path), f"--more={SMALL} --max_epochs 40"]

    def call(name: str, *flags: str, kill: bool = False) -> int:
        places = ["--log_dir", str(tmp_path / name / "logs"), "--results", str(tmp_path / name)]
        process = subprocess.Popen([*command, *places, *flags], cwd=ROOT)
        try:
            while kill and process.poll() is None:
                if any("epoch" in path.read_text() for path in tmp_path.glob(f"{name}/logs/*/pretraining-seed0.txt")):
                    begun = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout
                    for number in (process.pid, *map(int, begun.split())):  # as when the machine goes away
                        os.kill(number, signal.SIGKILL)
                    kill = False
                time.sleep(0.2)
            return process.wait()
        finally:
            process.terminate()  # where this test is out of time: the driver passes it on
            process.wait()

    def rows(name: str) -> list[dict]:
        differing = ("seconds", "cpu_seconds", "commit", "date")
        table = read_table(tmp_path / name / "cifar10-5.csv")
        return [{key: value for key, value in row.items() if key not in differing} for row in table]

    begun = time.monotonic()
    assert call("whole") == 0
    budget = 0.6 * (time.monotonic() - begun)
    assert call("parts", kill=True) == -signal.SIGKILL
    while code := call("parts", "--budget", str(budget)):
        assert code == 75
        budget *= 1.3  # should the machine have become slower
    assert rows("parts") == rows("whole")
    assert [row["method"] for row in rows("whole")] == ["pretraining", "iic"]
