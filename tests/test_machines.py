"""Beyond one machine, on one: torchrun's agents on the loopback, and a real SLURM that requeues a job."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from getpass import getuser
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY, free_port
from tests.test_stopping import assert_same_run

MAIN = "main_discover_inter_intra.py"
ALONE = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}  # of each process
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def words_of(folder, name, *flags):
    words = [*TINY["common"], *TINY["discover"], "--gpus", "0", "--distributed_backend", "ddp", "--batch_size", "16"]
    return [*words, "--log_dir", str(folder), "--run_name", name, *flags]


def run_together(command, environments, seconds):
    """What a command prints in each of these environments, in all of them at once; every one has to succeed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for environment in environments]
    try:
        said = [process.communicate(timeout=seconds) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * len(running), said
    return [printed for printed, _ in said]


@pytest.mark.slow
def test_two_agents_of_torchrun_train_what_two_processes_do(tmp_path):
    """As docs/scaling.md has it for two machines: an agent each, one process each, gloo between them."""
    environment = os.environ | ALONE
    command = [sys.executable, MAIN, *words_of(tmp_path, "processes", "--max_epochs", "3", "--num_processes", "2")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    agent += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    agent += ["--local-addr", "127.0.0.1", MAIN, *words_of(tmp_path, "agents", "--max_epochs", "3", "--num_nodes", "2")]
    printed = run_together(agent, [environment, environment], seconds=280)
    assert sum(text.count("epoch 1/3") for text in printed) == 1
    assert_same_run(tmp_path / "processes", tmp_path / "agents")


class Slurm:
    """A cluster of this machine alone: munge, controller and node, with all their files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen] = []
        self.environment = os.environ | ALONE | {"PYTHON": sys.executable, "SLURM_CONF": str(folder / "slurm.conf")}
        self.environment |= {"MASTER_ADDR": "127.0.0.1", "PATH": SBIN}

    def start(self) -> None:
        folder, host, user = self.folder, socket.gethostname(), getuser()
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o700)
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o600)
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={folder}/munge/socket,cred_expire=5",  # a requeued job waits until it is over
            "SlurmUser": user,
            "SlurmdUser": user,
            "SlurmctldPort": free_port(),
            "SlurmdPort": free_port(),
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool",
            "SlurmctldPidFile": f"{folder}/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd.pid",
            "ProctrackType": "proctrack/pgid",  # nothing that needs cgroups
            "TaskPlugin": "task/none",
            "SelectType": "select/linear",
            "JobAcctGatherType": "jobacct_gather/none",
            "MpiDefault": "none",
            "SchedulerParameters": "bf_interval=2",  # seconds; the rule is 30
            "ReturnToService": 2,
            "NodeName": f"{host} NodeAddr=127.0.0.1 CPUs=2",
            "PartitionName": "main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (folder / "slurm.conf").write_text(text)
        munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        places = [f"--{option}={folder}/munge/{name}" for option, name in munge.items()]
        self.daemon("munged", "--foreground", "--force", *places)
        self.wait(lambda: (folder / "munge" / "socket").exists(), 20)
        self.daemon("slurmctld", "-D")
        self.daemon("slurmd", "-D")
        self.wait(lambda: "State=IDLE" in self.ask("scontrol", "show", "node", host, check=False), 60)

    def daemon(self, name: str, *words: str) -> None:
        with open(self.folder / f"{name}.log", "w") as log:
            program = shutil.which(name, path=SBIN)
            command = [str(program), *words]
            self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def ask(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def wait(self, condition, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.3)

    def state(self, job: str) -> str:
        return self.ask("scontrol", "show", "job", job)

    def logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        """End jobs, then daemons: a node that is gone first leaves its jobs behind."""
        self.ask("scancel", "--user", getuser(), check=False)
        deadline = time.monotonic() + 30
        while self.ask("squeue", "--noheader", check=False) and time.monotonic() < deadline:
            time.sleep(0.3)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()


@pytest.fixture
def slurm():
    missing = [name for name in DAEMONS if shutil.which(name, path=SBIN) is None]
    if missing:
        pytest.skip(f"SLURM is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:  # a short path: it has a socket in it
        cluster = Slurm(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_of_slurm_is_requeued_and_ends_as_if_nothing_had_happened(slurm, tmp_path):
    """The documented script, two tasks; SIGUSR1 comes from scancel, as it would when the time is nearly over."""

    def submit(name):
        flags = words_of(
            tmp_path, name, "--max_epochs", "60", "--check_val_every_n_epoch", "30", "--num_processes", "2"
        )
        where = ["--ntasks-per-node=2", f"--output={tmp_path}/{name}.out", "--parsable"]
        return slurm.ask("sbatch", *where, "scripts/slurm.sh", MAIN, *flags).strip()

    def finished(job):
        state = slurm.state(job)
        assert "JobState=FAILED" not in state, "\n".join(path.read_text() for path in tmp_path.glob("*.out"))
        return "JobState=COMPLETED" in state

    def epochs():
        path = tmp_path / "stopped" / "metrics.csv"
        return len(list(csv.DictReader(path.read_text().splitlines()))) if path.is_file() else 0

    job = submit("stopped")
    slurm.wait(lambda: epochs() >= 2, 120)
    slurm.ask("scancel", f"--signal={signal.SIGUSR1.name.removeprefix('SIG')}", job)
    slurm.wait(lambda: "Restarts=1" in slurm.state(job), 60)
    assert 2 <= epochs() < 60
    slurm.wait(lambda: finished(job), 300)
    output = (tmp_path / "stopped.out").read_text()
    assert (output.count("stopped by SIGUSR1"), output.count("epoch 60/60")) == (1, 1)
    assert "Traceback" not in output
    whole = submit("whole")
    slurm.wait(lambda: finished(whole), 300)
    assert "Restarts=0" in slurm.state(whole)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: '' is no main and no script below"),
        (["main_absent.py"], "error: 'main_absent.py' is no main and no script below"),
        ([MAIN, "--dataset", "digits"], "error: --comment or --run_name is needed"),
        ([MAIN, "--comment", "c"], "error: this is no job of SLURM; submit it with sbatch, as in sbatch"),
    ],
)
def test_the_script_refuses_what_could_not_go_on(words, message):
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = ["bash", "scripts/slurm.sh", *words]
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(message)


def test_a_script_of_several_mains_waits_until_the_running_one_has_saved(tmp_path):
    """SLURM sends SIGUSR1 to all processes of a task; a shell that ended first would take the training with it."""
    python = tmp_path / "python"
    saves = "trap 'sleep 0.5; echo saved; exit 138' USR1"
    python.write_text(f"#!/bin/bash\n{saves}\necho begun\nwhile :; do sleep 0.1; done\n")
    python.chmod(0o755)
    script = subprocess.Popen(
        ["bash", "scripts/cifar10-5/ablation.sh"],
        cwd=ROOT,
        env=os.environ | {"PYTHON": str(python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert script.stdout.readline() == "begun\n"
    os.killpg(script.pid, signal.SIGUSR1)
    assert (script.communicate(timeout=30)[0], script.returncode) == ("saved\n", 138)


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (138, True), (1, False)])
@pytest.mark.parametrize("command", ["main_discover.py --comment=c", "scripts/digits/discover.sh"])
def test_the_script_requeues_what_was_stopped_alone(code, requeued, command, tmp_path):
    """With stand-ins for srun and scontrol; from another folder, as SLURM runs its copy."""
    for name, ending in {"srun": f"exit {code}", "scontrol": "exit 0"}.items():
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\necho "{name} $*"\n{ending}\n')
        stand_in.chmod(0o755)
    copy = shutil.copy(ROOT / "scripts" / "slurm.sh", tmp_path / "job")
    job = {"SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "PYTHON": "python9"}
    environment = os.environ | job | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["bash", copy, *command.split(), "--seed", "1"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (code, "")
    program = f"python9 {command}" if command.startswith("main") else f"./{command}"
    expected = [f"srun {program} --seed 1 --num_nodes 2 --resume_from_checkpoint auto"]
    assert done.stdout.splitlines() == expected + (["scontrol requeue 7"] if requeued else [])
