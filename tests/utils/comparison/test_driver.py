"""The driver on commands that count to a number: killed, stopped, failing, two at once; and on the digits."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from scripts.compare import command_line, main
from tests.conftest import ROOT
from utils.comparison import attempts, commands, runs
from utils.comparison.attempts import Attempts, run_lock
from utils.comparison.commands import Place, all_runs
from utils.comparison.driver import Driver
from utils.comparison.protocol_file import read_protocols
from utils.comparison.rows import add_row, read_rows
from utils.comparison.runs import Runner
from utils.comparison.stopping import Stopped
from utils.errors import UserError

COUNTING = """
import json, os, pathlib, signal, sys, time
words = dict(zip(sys.argv[1:], sys.argv[2:]))
folder = pathlib.Path(words["--log_dir"], words["--run_name"])
folder.mkdir(parents=True, exist_ok=True)
print(words["--run_name"], "begins")
if words.get("--fail") == "yes" and not (folder / "mended").exists():
    sys.exit("this cannot work")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
counted, hold = folder / "counted", folder.with_suffix(".hold")
for number in range(int(words.get("--steps", 1))):
    while number == 5 and hold.exists():
        time.sleep(0.01)
    if not counted.exists() or len(counted.read_text()) <= number:
        time.sleep(0.02)
        with open(counted, "a") as file:
            file.write(".")
result = {"unlab/test/acc/best": len(counted.read_text()) / 1000, "seconds": 0.1}
(folder / "metrics.json").write_text(json.dumps(result))
"""
TWO = "{a: {main: COUNTING, steps: 15}, b: {main: COUNTING, steps: 20}}"


@pytest.fixture
def counting(tmp_path):
    """Writes protocols of counting commands; returns what makes a command line of the driver for one."""
    (tmp_path / "counting.py").write_text(COUNTING)

    def command(methods: str = TWO, seeds: str = "[0, 1]", *more: str) -> list[str]:
        text = f"tiny: {{about: x, hours: 1, seeds: {seeds}, methods: {methods}}}"
        (tmp_path / "p.yaml").write_text(text.replace("COUNTING", str(tmp_path / "counting.py")))
        places = ["--protocols", tmp_path / "p.yaml", "--results", tmp_path / "results", "--log_dir", tmp_path / "logs"]
        return [sys.executable, str(ROOT / "scripts" / "compare.py"), "tiny", *map(str, places), *more]

    return command


def here(tmp_path, monkeypatch, methods=None):
    """A driver in this process, of the protocols that are written."""
    protocol = read_protocols(tmp_path / "p.yaml")["tiny"]
    place = Place(tmp_path, tmp_path, tmp_path / "logs" / "tiny")
    monkeypatch.setattr(runs, "device", lambda threads: "a device")
    listed = all_runs(protocol, list(methods or protocol.methods), protocol.seeds, place)
    return Driver(protocol, listed, place, tmp_path / "results" / "tiny.csv")


def drive(driver):
    with Runner(driver.place).installed() as runner:
        driver.drive(runner)


def finished(tmp_path):
    return [(row["method"], int(row["seed"])) for row in read_rows(tmp_path / "results" / "tiny.csv")]


def start(tmp_path, command):
    """A driver in a process of its own, and the file of what it prints."""
    output = tmp_path / "driver.txt"
    with open(output, "a") as file:
        return subprocess.Popen(command, stdout=file, stderr=file), output


@contextlib.contextmanager
def held(tmp_path, command, name):
    """A driver whose run of that name has counted to five and goes no further inside this context."""
    hold = tmp_path / "logs" / "tiny" / f"{name}.hold"
    hold.parent.mkdir(parents=True, exist_ok=True)
    hold.touch()
    driver, output = start(tmp_path, command)
    counted, until = hold.with_suffix("") / "counted", time.monotonic() + 120
    while not (counted.exists() and counted.read_text() == "....."):
        assert driver.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.02)
    try:
        yield driver, output, hold
    finally:
        hold.unlink(missing_ok=True)


ALL = [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_rows_seed_by_seed_and_never_again(tmp_path, counting, monkeypatch, capsys):
    counting()
    drive(here(tmp_path, monkeypatch))
    assert finished(tmp_path) == ALL
    first = read_rows(tmp_path / "results" / "tiny.csv")
    assert first[1]["unlab/test/acc/best"] == "0.02"
    assert 0.4 <= float(first[1]["seconds"]) < 60
    assert 0 <= float(first[1]["cpu_seconds"]) < 10
    assert first[1]["device"] == "a device"
    assert first[1]["commit"]
    assert "4 of 4  b, seed 1" in capsys.readouterr().out
    drive(here(tmp_path, monkeypatch))
    assert read_rows(tmp_path / "results" / "tiny.csv") == first
    assert "of 4" not in capsys.readouterr().out


def test_a_failure_is_told_and_stops_nothing(tmp_path, counting, monkeypatch, capsys):
    counting("{a: {main: COUNTING, steps: 1, fail: 'yes'}, b: {main: COUNTING, steps: 1}}")
    driver = here(tmp_path, monkeypatch)
    drive(driver)
    assert finished(tmp_path) == [("b", 0), ("b", 1)]
    assert list(driver.failed) == ["a-seed0", "a-seed1"]
    output = tmp_path / "logs" / "tiny" / "a-seed0.txt"
    assert driver.failed["a-seed0"] == f"exit code 1: this cannot work (all of its output: {output})"
    assert output.read_text().startswith("a-seed0 begins")
    (tmp_path / "logs" / "tiny" / "a-seed0" / "mended").touch()
    driver = here(tmp_path, monkeypatch)
    drive(driver)
    assert finished(tmp_path) == [("b", 0), ("b", 1), ("a", 0)]
    assert list(driver.failed) == ["a-seed1"]


def test_a_run_with_other_flags_is_not_gone_on_with(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING, steps: 1}}", "[0]")
    drive(here(tmp_path, monkeypatch))
    counting("{a: {main: COUNTING, steps: 2}}", "[0]")
    with pytest.raises(UserError, match="than the protocol has now, for them or for their pretraining: a 0; remove"):
        here(tmp_path, monkeypatch).require_comparable()
    (tmp_path / "results" / "tiny.csv").unlink()
    driver = here(tmp_path, monkeypatch)
    drive(driver)
    assert "is of a run with other flags, pretraining or images: remove" in driver.failed["a-seed0"]


def test_a_run_on_other_images_is_not_gone_on_with(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING}}", "[0]")
    driver = here(tmp_path, monkeypatch)
    driver.runs = [replace(run, images="cafe") for run in driver.runs]
    drive(driver)
    driver.table.unlink()
    Attempts.read(driver.runs[0])
    with pytest.raises(UserError, match="is of a run with other flags, pretraining or images: remove"):
        Attempts.read(replace(driver.runs[0], images="beef"))


def test_a_finished_run_whose_row_is_lost_is_not_run_again(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING, steps: 3}}", "[0]")
    drive(here(tmp_path, monkeypatch))
    first = read_rows(tmp_path / "results" / "tiny.csv")
    (tmp_path / "results" / "tiny.csv").unlink()
    drive(here(tmp_path, monkeypatch))
    assert read_rows(tmp_path / "results" / "tiny.csv") == first
    assert (tmp_path / "logs" / "tiny" / "a-seed0.txt").read_text().count("begins") == 1


def test_a_finished_run_without_its_metrics_is_run_again(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING, steps: 3}}", "[0]")
    drive(here(tmp_path, monkeypatch))
    (tmp_path / "results" / "tiny.csv").unlink()
    shutil.rmtree(tmp_path / "logs" / "tiny" / "a-seed0")
    driver = here(tmp_path, monkeypatch)
    drive(driver)
    assert (driver.failed, finished(tmp_path)) == ({}, [("a", 0)])


def test_a_driver_killed_before_its_command_printed(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING, steps: 1}}", "[0]")
    driver = here(tmp_path, monkeypatch)
    driver.place.folder.mkdir(parents=True)
    Attempts.read(driver.runs[0]).begin("abc", driver.runs[0])
    drive(driver)
    assert (driver.failed, finished(tmp_path)) == ({}, [("a", 0)])


def test_killed_with_its_command(tmp_path, counting, monkeypatch):
    """Driver and command at once, as when the machine goes away."""
    command = counting()
    for method in ("a", "b"):
        with held(tmp_path, command, f"{method}-seed0") as (driver, _, _):
            commands = subprocess.run(["pgrep", "-P", str(driver.pid)], capture_output=True, text=True).stdout.split()
            for process in (driver.pid, *map(int, commands)):
                os.kill(process, signal.SIGKILL)
            driver.wait()
    drive(here(tmp_path, monkeypatch))
    assert sorted(finished(tmp_path)) == sorted(ALL)
    rows = {(row["method"], row["seed"]): row for row in read_rows(tmp_path / "results" / "tiny.csv")}
    assert rows["b", "0"]["unlab/test/acc/best"] == "0.02"  # counted on, not anew
    assert rows["b", "0"]["cpu_seconds"] == ""  # nobody saw the end of an attempt
    assert rows["b", "1"]["cpu_seconds"] != ""


def test_a_command_that_outlives_its_driver_is_waited_for(tmp_path, counting, monkeypatch, capsys):
    sleep = time.sleep

    def let_go(seconds):  # where the second driver waits
        hold.unlink(missing_ok=True)
        sleep(0.05)

    with held(tmp_path, counting("{a: {main: COUNTING, steps: 8}}", "[0]"), "a-seed0") as (driver, _, hold):
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        monkeypatch.setattr(attempts.time, "sleep", let_go)
        drive(here(tmp_path, monkeypatch))
    assert "waiting for a-seed0" in capsys.readouterr().out
    assert read_rows(tmp_path / "results" / "tiny.csv")[0]["unlab/test/acc/best"] == "0.008"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_first(tmp_path, counting, number):
    with held(tmp_path, counting(), "a-seed0") as (driver, output, _):
        os.kill(driver.pid, number)
        assert driver.wait(60) == 128 + number
    assert output.read_text().splitlines()[-1] == "stopped; the same command goes on"
    kept = json.loads((tmp_path / "logs" / "tiny" / "a-seed0.json").read_text())
    assert kept["since"] is None
    assert not kept["finished"]


def test_a_signal_between_two_runs_costs_no_seconds(tmp_path, counting, monkeypatch):
    counting(TWO)
    driver = here(tmp_path, monkeypatch)
    run, runner = driver.runs[0], Runner(driver.place)
    runner.signal = signal.SIGTERM
    with run_lock(run, runner.check, wait=False) as lock, pytest.raises(Stopped):
        runner.run(run, lock)
    assert Attempts.read(run).cpu_seconds == 0


def test_two_drivers_share_the_runs(tmp_path, counting):
    command = counting()
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [driver.communicate(timeout=120)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert sorted(finished(tmp_path)) == sorted(ALL)
    for method, seed in ALL:
        assert (tmp_path / "logs" / "tiny" / f"{method}-seed{seed}.txt").read_text().count("begins") == 1
    assert all("all 4 runs are in" in output for output in outputs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digits --more=--max_epochs=2", "give another folder as --results"),
        ("digits --table --more=--max_epochs=2", "give another folder as --results"),
        ("digits --more=--seed=3 --results /tmp/tried", "--more has --seed=3, which is set for each run"),
        ("digits --table --plot digits.csv", "--plot digits.csv is to be a PNG; give a name that ends in .png"),
        ("digits --threads 0", "--threads is 0 but must be at least 1"),
        ("digits --threads -3", "--threads is -3 but must be at least 1"),
        ("digits --budget 0", "--budget is 0.0 but must be above 0 and finite"),
        ("digits --budget nan", "--budget is nan but must be above 0 and finite"),
        ("digitz", "there is no protocol digitz; there are digits, "),
        ("", "a protocol is needed; there are digits, "),
        ("digits --seeds 0,9", "--seeds 9 is not of this protocol; there are 0, 1, 2, 3, 4"),
        ("cifar10-500 --data_dir /nowhere", "CIFAR10 is not in /nowhere"),
        ("digits --protocols /nowhere.yaml", "/nowhere.yaml cannot be read"),
    ],
)
def test_what_cannot_be_is_told(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        main(command_line().parse_args(words.split()))


def test_a_table_leads_to_the_command_of_its_rows(tmp_path, counting, monkeypatch, capsys):
    """With a place that has a blank, so that the words are those of a shell."""
    (tmp_path / "of mine").mkdir()
    command = counting("{a: {main: COUNTING}}", "[0]", "--methods", "a", "--more", "steps 2")
    command[command.index("--results") + 1] = str(tmp_path / "of mine")
    row = {"method": "a", "seed": 0, "seconds": 1, "more": "--steps 9"}
    add_row(tmp_path / "of mine" / "tiny.csv", row)
    add_row(tmp_path / "of mine" / "tiny.csv", row | {"more": ""})
    main(command_line().parse_args([*command[2:], "--table"]))
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("Nothing is measured yet; `python scripts/compare.py tiny ")
    assert shlex.split(first.split("`")[1])[2] == "tiny"
    assert command_line().parse_args(shlex.split(first.split("`")[1])[2:]) == command_line().parse_args(command[2:])
    assert others == ["1 row of other flags: --more='--steps 9'.", "1 row of other flags: --more=''."]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ('{"unlab/test/acc/best": 91.5}', "unlab/test/acc/best is '91.5' but must be a number from 0 to 1, or empty"),
        ('{"unlab/test/acc/best": NaN}', "unlab/test/acc/best is 'nan'"),
        ('{"unlab/test/acc/best": "much"}', "holds something else than names and numbers"),
        ("[1, 2]", "holds something else than names and numbers"),
        ("{", "cannot be read"),
    ],
)
def test_metrics_that_no_row_may_hold_fail_their_run(tmp_path, counting, monkeypatch, metrics, message):
    counting("{a: {main: COUNTING}}", "[0]")
    (tmp_path / "counting.py").write_text(COUNTING + f"(folder / 'metrics.json').write_text('{metrics}')")
    driver = here(tmp_path, monkeypatch)
    drive(driver)
    assert message in driver.failed["a-seed0"]
    assert finished(tmp_path) == []


def test_a_failed_pretraining_fails_what_starts_from_it(tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text("raise SystemExit('no weights')")
    monkeypatch.setattr(commands, "PRETRAINING_MAIN", str(tmp_path / "fails.py"))
    protocol = read_protocols()["digits"]
    place = Place(tmp_path, tmp_path, tmp_path / "logs")
    driver = Driver(protocol, all_runs(protocol, ["iic"], [0], place), place, tmp_path / "results" / "digits.csv")
    drive(driver)
    assert "exit code 1: no weights" in driver.failed["pretraining-seed0"]
    assert driver.failed["iic-seed0"] == "its pretraining failed"


@pytest.fixture
def pretrained(tmp_path, counting, monkeypatch):
    """Writes a protocol of two counting methods that start from a pretraining with the flags given; its command."""
    (tmp_path / "weights.py").write_text(
        COUNTING + "target = pathlib.Path(words['--checkpoint_dir'])\n"
        "target.mkdir(exist_ok=True)\n"
        "(target / f'pretrain-resnet18-digits-{words[\"--comment\"]}.cp').touch()\n"
    )
    monkeypatch.setattr(commands, "PRETRAINING_MAIN", str(tmp_path / "weights.py"))

    def command(flags: str = "{}") -> list[str]:
        words = counting("{a: {main: COUNTING, steps: 1}, b: {main: COUNTING, steps: 1}}", "[0]")
        text = (tmp_path / "p.yaml").read_text()
        text = text.replace("{about", f"{{common: {{dataset: digits}}, pretraining: {flags}, about")
        (tmp_path / "p.yaml").write_text(text)
        return words[2:]

    return command


def remove_rows(tmp_path, *methods):
    path = tmp_path / "results" / "tiny.csv"
    kept = [line for line in path.read_text().splitlines() if line.split(",")[0] not in methods]
    path.write_text("\n".join(kept) + "\n")


def test_what_started_from_another_pretraining_is_outdated_too(tmp_path, pretrained, monkeypatch, capsys):
    """Whatever is removed of it, as long as a row or a file tells: never a table of two pretrainings."""
    command = [*pretrained(), "--table"]
    drive(here(tmp_path, monkeypatch))
    pretrained("{max_epochs: 3}")
    for gone, left in ((), "pretraining 0, a 0, b 0"), (["pretraining"], "a 0, b 0"), (["a"], "b 0"):
        remove_rows(tmp_path, *gone)
        with pytest.raises(UserError, match=f"for them or for their pretraining: {left}; remove them"):
            here(tmp_path, monkeypatch, ["a"]).require_comparable()
        capsys.readouterr()
        main(command_line().parse_args(command))
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith("Nothing is measured yet")
        assert said[1] == f"Left out, since the protocol has other flags now: {left}."
    remove_rows(tmp_path, "b")
    for file in (tmp_path / "logs" / "tiny").glob("pretraining-seed0.*"):
        file.unlink()
    driver = here(tmp_path, monkeypatch)
    driver.require_comparable()
    drive(driver)
    assert finished(tmp_path) == [("pretraining", 0)]
    assert "a-seed0.json is of a run with other flags, pretraining or images: remove" in driver.failed["a-seed0"]


def test_a_pretraining_whose_row_is_not_needed_is_not_missing(tmp_path, pretrained, monkeypatch, capsys):
    command = pretrained()
    drive(here(tmp_path, monkeypatch))
    remove_rows(tmp_path, "pretraining")
    capsys.readouterr()
    assert main(command_line().parse_args(command)) == 0
    assert capsys.readouterr().out == f"all 2 runs are in {tmp_path / 'results' / 'tiny.csv'}\n"
    main(command_line().parse_args([*command, "--table"]))
    table = capsys.readouterr().out
    assert "missing" not in table
    assert "pretraining" not in table
    remove_rows(tmp_path, "a")
    main(command_line().parse_args([*command, "--table"]))
    assert "2 of 3 runs are missing" in capsys.readouterr().out
    main(command_line().parse_args([*command, "--list"]))
    assert "1 of   3 rows" in capsys.readouterr().out


def test_rows_of_other_images_are_not_added_to(tmp_path, counting, monkeypatch):
    counting("{a: {main: COUNTING}}", "[0, 1]")
    driver = here(tmp_path, monkeypatch)
    for images in ("", "aaaa"):
        driver.place = replace(driver.place, images=images)
        add_row(driver.table, {"method": "a", "seed": len(images), "more": "", "seconds": 1, "images": images})
        driver.require_comparable()
    driver.place = replace(driver.place, images="bbbb")
    with pytest.raises(UserError, match=f"rows of other images than {tmp_path} does: a 4; give their --data_dir"):
        driver.require_comparable()


@pytest.mark.parametrize("gone", ["tiny", "tiny/pretrained"])
def test_weights_that_are_not_here_are_made_anew(tmp_path, pretrained, monkeypatch, gone):
    """Rows from another machine, or weights that were deleted: the pretraining is called again, its row stays."""
    pretrained()
    drive(here(tmp_path, monkeypatch, ["a"]))
    assert finished(tmp_path) == [("pretraining", 0), ("a", 0)]
    first = read_rows(tmp_path / "results" / "tiny.csv")
    shutil.rmtree(tmp_path / "logs" / gone)
    driver = here(tmp_path, monkeypatch, ["a", "b"])
    drive(driver)
    assert not driver.failed
    assert finished(tmp_path) == [("pretraining", 0), ("a", 0), ("b", 0)]
    assert read_rows(tmp_path / "results" / "tiny.csv")[:2] == first
    assert driver.runs[0].leaves
    assert (tmp_path / "logs" / "tiny" / "a-seed0.txt").exists() == (gone != "tiny")


def test_the_digits(tmp_path):
    """Real commands, short ones: pretraining, and a main that starts from it."""
    words = ["digits", "--methods", "iic", "--seeds", "1", "--threads", "1", "--results", str(tmp_path)]
    more = "--max_epochs 1 --warmup_epochs 0 --limit_train_batches 2 --num_sanity_val_steps 0"
    words += [f"--more={more}", "--log_dir", str(tmp_path / "logs")]
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pretraining, iic = read_rows(tmp_path / "digits.csv")
    assert (pretraining["method"], iic["method"], iic["seed"], iic["more"]) == ("pretraining", "iic", "1", more)
    assert 0 <= float(pretraining["val/acc"]) <= 1
    assert 0.2 <= float(iic["unlab/test/acc/best"]) <= 1
    assert float(iic["cpu_seconds"]) > 0
    assert "1 threads" in iic["device"]
