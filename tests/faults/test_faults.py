"""Runs that are killed, run out of disk, find damaged files: what is left is whole and goes on exactly.

``make test-faults`` runs these and prints a table: fault, times tried, times survived. Survived means: no half-written
file under its final name, a message where there is an error, and after resuming the weights, the optimizer's state and
the metrics of a run that nothing has happened to, bit for bit.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from main_discover_inter_intra import Discoverer
from tests.faults.runs import Run, whole_files
from tests.test_stopping import assert_same_run, cut, flip, stopping
from tests.utils.data.makers import write_folder
from utils.training.checkpoint_io import PREVIOUS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
AUTO = ("--resume_from_checkpoint", "auto")
TRIED, SURVIVED = Counter(), Counter()


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    width = max(map(len, TRIED))
    print(f"\n\n{'fault':{width}}  times  survived")
    for fault, times in TRIED.items():
        print(f"{fault:{width}}  {times:5}  {SURVIVED[fault]:8}")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nothing has happened to, and how long it takes."""
    run = Run(tmp_path_factory.mktemp("reference"))
    assert run.wait() == 0, run.said()
    return run.folder, time.monotonic() - run.started


def survives(fault, root, reference, *flags):
    """Count a fault that has just happened, go on, compare."""
    TRIED[fault] += 1
    whole_files(root / "logs" / "run")
    run = Run(root, *AUTO, *flags)
    assert run.wait() == 0, run.said()
    assert_same_run(reference[0], run.folder)
    assert "Traceback" not in run.said(), run.said()
    SURVIVED[fault] += 1


def test_killed_at_random_moments(reference, tmp_path):
    """Each run is killed several times, and goes on each time, until it is done."""
    chance = random.Random(0)
    kills = number = 0
    while kills < 30:
        number += 1
        root = tmp_path / str(number)
        root.mkdir()
        for _ in range(5):
            run = Run(root, *AUTO)
            time.sleep(chance.uniform(0.0, 0.8) * reference[1])
            run.kill()
            if run.wait() == 0:  # it was quicker
                break
            kills += 1
            TRIED["SIGKILL at a random moment"] += 1
            whole_files(run.folder)
        run = Run(root, *AUTO)
        assert run.wait() == 0, run.said()
        assert_same_run(reference[0], run.folder)
        assert "Traceback" not in run.said(), run.said()
        SURVIVED["SIGKILL at a random moment"] = TRIED["SIGKILL at a random moment"]


def dying_in(name, call):
    """Kill this process in the n-th call of a function of ``os`` that touches a checkpoint."""

    def before():
        original, calls = getattr(os, name), []

        def dying(*args, **kwargs):
            if name == "fsync" or any(".ckpt" in str(arg) for arg in args):
                calls.append(args)
                if len(calls) == call:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(os, name, dying)

    return before


@pytest.mark.parametrize(("name", "call"), [("fsync", 9), ("link", 2), ("replace", 1), ("replace", 4), ("replace", 5)])
def test_killed_while_a_checkpoint_is_written(reference, tmp_path, name, call):
    run = Run(tmp_path, before=dying_in(name, call))
    assert run.wait() == -signal.SIGKILL, run.said()
    survives("SIGKILL while a checkpoint is written", tmp_path, reference)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("hook", ["training_step", "validation_step"])
def test_told_to_stop(reference, tmp_path, number, hook):
    run = Run(tmp_path, "--checkpoint_minutes", "10", discoverer=stopping(hook, 1, number))
    assert run.wait() == 128 + number, run.said()
    survives("SIGTERM, SIGINT or SIGUSR1", tmp_path, reference)


@pytest.mark.parametrize("limit", [20_000, 1_000_000])
def test_a_full_disk(reference, tmp_path, limit):
    """No file may grow above a limit: writes end in the middle, as on a disk that is full."""

    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = Run(tmp_path, before=before)
    assert run.wait() == 2, run.said()
    assert "cannot be written" in run.said()
    assert "Traceback" not in run.said(), run.said()
    survives("full disk (a file cannot grow)", tmp_path, reference)


def test_a_full_tmpfs(reference, tmp_path):
    """A real file system with room for one checkpoint and a half."""
    place = tmp_path / "logs"
    place.mkdir()
    size = int(1.5 * (reference[0] / "last.ckpt").stat().st_size)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here (needs root)")
    try:
        run = Run(tmp_path)
        assert run.wait() == 2, run.said()
        assert "No space left on device" in run.said()
        assert "Traceback" not in run.said(), run.said()
        subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)
        survives("full disk (tmpfs)", tmp_path, reference)
    finally:
        subprocess.run(["umount", str(place)], check=True)


DAMAGE = {"truncated": cut, "bit-flipped": flip, "empty": lambda data: b"", "no archive": lambda data: data[100:]}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint(reference, tmp_path, kind):
    run = Run(tmp_path, discoverer=stopping("training_step", 2, signal.SIGKILL))
    assert run.wait() == -signal.SIGKILL, run.said()
    last = run.folder / "last.ckpt"
    last.write_bytes(DAMAGE[kind](last.read_bytes()))
    run = Run(tmp_path, "--resume_from_checkpoint", str(last))
    assert run.wait() == 2, run.said()
    assert f"{last} is damaged" in run.said()
    TRIED[f"last.ckpt is {kind}"] += 1
    run = Run(tmp_path, *AUTO)
    assert run.wait() == 0, run.said()
    assert f"going on from {run.folder / PREVIOUS}" in run.said()
    assert_same_run(reference[0], run.folder)
    SURVIVED[f"last.ckpt is {kind}"] += 1


def test_a_checkpoint_of_another_run(reference, tmp_path):
    run = Run(tmp_path, discoverer=stopping("training_step", 2, signal.SIGKILL))
    assert run.wait() == -signal.SIGKILL, run.said()
    (tmp_path / "other").mkdir()
    other = Run(tmp_path / "other", "--seed", "1", "--max_epochs", "1")
    assert other.wait() == 0, other.said()
    shutil.copy(other.folder / "last.ckpt", run.folder / "last.ckpt")
    fault = "last.ckpt is of another run"
    TRIED[fault] += 1
    run = Run(tmp_path, *AUTO)
    assert run.wait() == 0, run.said()
    assert "is of another run: it has --seed 1, this one 0" in run.said()
    assert_same_run(reference[0], run.folder)
    SURVIVED[fault] += 1


FOLDER = ("--dataset", "folder", "--image_size", "72", "--num_labeled_classes", "2", "--num_unlabeled_classes", "2")
FOLDER += ("--batch_size", "4", "--num_workers", "1", "--data_dir")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four classes of files on disk, and a run on them that nothing has happened to."""
    root = tmp_path_factory.mktemp("photos")
    write_folder(root / "data", size=(80, 80))
    run = Run(root, *FOLDER, str(root / "data"))
    assert run.wait() == 0, run.said()
    return root / "data", (run.folder, 0)


class KillsAWorker(Discoverer):
    """The process that decodes images dies in the second epoch."""

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 1:
            import multiprocessing

            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
        return super().training_step(batch, batch_idx)


def test_a_worker_that_dies(photos, tmp_path):
    data, reference = photos
    run = Run(tmp_path, *FOLDER, str(data), discoverer=KillsAWorker)
    assert run.wait() == 2, run.said()
    assert "a process that decodes images has died" in run.said()
    assert "Traceback" not in run.said(), run.said()
    survives("a worker dies", tmp_path, reference, *FOLDER, str(data))


def test_data_that_disappear(photos, tmp_path):
    data, reference = photos
    gone = data.with_name("gone")

    class Removes(Discoverer):
        def training_step(self, batch, batch_idx):
            if self.current_epoch == 1 and batch_idx == 1 and data.exists():
                data.rename(gone)
            return super().training_step(batch, batch_idx)

    run = Run(tmp_path, *FOLDER, str(data), discoverer=Removes)
    code = run.wait()
    gone.rename(data)
    assert code == 2, run.said()
    assert "cannot be read" in run.said()
    assert "Traceback" not in run.said(), run.said()
    survives("data disappear", tmp_path, reference, *FOLDER, str(data))


@pytest.mark.parametrize("jump", [-1e8, 1e8])
def test_the_clock_jumps(reference, tmp_path, jump):
    def before():
        real, begun = time.time, time.monotonic()
        time.time = lambda: real() + (jump if time.monotonic() > begun + 0.5 else 0)

    run = Run(tmp_path, before=before)
    assert run.wait() == 0, run.said()
    assert_same_run(reference[0], run.folder)
    survives("the clock jumps", tmp_path, reference)
