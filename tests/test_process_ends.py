"""How two processes on the CPU end: with the right exit code however long the first takes to leave, and together.

Of two machines that are started by hand too.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from tests.conftest import ROOT, TINY, free_port
from tests.test_machines import ALONE, MAIN, run_together, words_of
from utils.distributed import RANKS, take_rank

SECONDS_TO_LEAVE = 12.0  # of the first process, as an upload may take: Lightning looks for ended children every 5
FAULTY = """
import atexit, os, time
from main_discover_inter_intra import Discoverer
from utils import cli, experiment
from utils.errors import UserError

fault, seconds = os.environ["FAULT"], float(os.environ["SECONDS_TO_LEAVE"])
if "LOCAL_RANK" not in os.environ:  # the first process
    atexit.register(time.sleep, seconds)

class Faulty(Discoverer):
    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 1 and self.global_rank == 0:
            if fault == "error":
                raise UserError("this process has a problem")
            for _ in range({"signal": 1, "signals": 2}[fault]):
                os.kill(os.getpid(), 15)
        return super().training_step(batch, batch_idx)

cli.run(lambda args: experiment.discover(Faulty, args), cli.parse("discover", factors=Discoverer.factors))
"""


def run_two(folder, fault="none", seconds=0.0, **environment):
    """Exit code and messages of the first of two processes, in which something happens; the other one has to be gone.

    Raises:
        subprocess.TimeoutExpired: when it is not.
    """
    script, messages = folder / "faulty.py", folder / "messages.txt"
    script.write_text(FAULTY)
    words = [*TINY["common"], *TINY["discover"], "--num_processes", "2", "--distributed_backend", "ddp"]
    words += ["--max_epochs", "3", "--batch_size", "32", "--log_dir", str(folder), "--run_name", "run"]
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment |= {"FAULT": fault, "SECONDS_TO_LEAVE": str(seconds)}
    with messages.open("w") as stderr:
        first = subprocess.Popen(
            [sys.executable, str(script), *words],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        # Nothing of a few lines fills the pipe, which ends when nobody holds it any more.
        code = first.wait(timeout=250)
        first.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(first.pid, signal.SIGKILL)
        raise
    return code, messages.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "code"), [("signal", 143), ("error", 2)])
def test_a_first_process_that_is_slow_to_leave_keeps_its_exit_code(tmp_path, fault, code):
    ended, messages = run_two(tmp_path, fault, SECONDS_TO_LEAVE)
    assert ended == code, messages
    assert "Traceback" not in messages


@pytest.mark.slow
def test_a_second_signal_to_the_first_process_alone_ends_both_in_silence(tmp_path):
    code, messages = run_two(tmp_path, "signals")
    assert code == 143, messages
    assert "Exception" not in messages


@pytest.mark.slow
def test_a_first_process_that_cannot_open_its_port_ends_both(tmp_path):
    port = free_port()
    with socket.create_server(("", port)):
        code, messages = run_two(tmp_path, MASTER_PORT=str(port))
    assert code == 1
    assert "EADDRINUSE" in messages


@pytest.mark.parametrize(
    ("environment", "num_nodes", "rank"),
    [
        ({"NODE_RANK": "2"}, 3, 8),
        ({"GROUP_RANK": "1"}, 3, 4),
        ({}, 3, 0),
        ({"NODE_RANK": "2"}, 1, 0),
        ({"NODE_RANK": "2", "LOCAL_RANK": "0"}, 3, 0),
    ],
)
def test_the_rank_of_a_machine_that_is_started_by_hand(monkeypatch, environment, num_nodes, rank):
    for name in (*RANKS, "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    take_rank(num_nodes, 4 * num_nodes)
    assert rank_zero_only.rank == rank


def by_hand(folder):
    """The command of each of two machines, and the environment of each."""
    command = [sys.executable, MAIN, *words_of(folder, "run", "--max_epochs", "2", "--num_nodes", "2")]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return command, [os.environ | ALONE | meeting | {"NODE_RANK": str(number)} for number in range(2)]


@pytest.mark.slow
def test_two_machines_that_are_started_by_hand_train_to_the_end(tmp_path):
    printed = run_together(*by_hand(tmp_path), seconds=140)
    assert [text.count("epoch 2/2") for text in printed] == [1, 0]


@pytest.mark.slow
def test_a_machine_that_waits_for_another_ends_at_a_signal(tmp_path):
    command, (first, _) = by_hand(tmp_path)
    place = first["MASTER_ADDR"], int(first["MASTER_PORT"])
    with subprocess.Popen(command, cwd=ROOT, env=first, stdout=subprocess.PIPE) as machine:
        assert machine.stdout.readline() == b"machine   0 of 0 to 1; training begins when all are there\n"
        try:
            while True:  # until it waits
                with contextlib.suppress(OSError), socket.create_connection(place):
                    break
                time.sleep(0.2)
            machine.terminate()
            assert machine.wait(timeout=60) == 143
        finally:
            machine.kill()
    assert not list((tmp_path / "run").glob("*.ckpt"))
