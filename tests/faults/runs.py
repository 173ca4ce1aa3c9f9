"""Real runs in processes of their own, forked from one that has imported everything: started at once.

Each is the main's ``cli.run`` with flags, and ends with the exit code and the messages that a user would see.
"""

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from tests.conftest import tiny_discovery
from utils import cli, torch_files

FLAGS = ["--checkpoint_minutes", "0", "--batch_size", "64", "--eval_batch_size", "150"]  # a checkpoint in every step


class Run:
    """A run that has been started; ``folder`` and ``output`` are its files."""

    def __init__(self, root: Path, *flags: str, before=lambda: None, discoverer=None) -> None:
        self.folder, self.output = root / "logs" / "run", root / "output.txt"
        self.started = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._child(root, flags, before, discoverer)

    def _child(self, root, flags, before, discoverer):
        code = 1
        try:
            os.setsid()
            output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
            torch.set_num_threads(1)  # threads that the parent had are not in a child, and OpenMP would wait for them
            before()
            settings = argparse.Namespace(debug=False)
            cli.run(lambda _: tiny_discovery(root, *FLAGS, *flags, discoverer=discoverer), settings)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; the run may be over already."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """The exit code, or minus the signal."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"the run did not end:\n{self.said()}")

    def said(self) -> str:
        """What all runs with this output have printed."""
        return self.output.read_text() if self.output.exists() else ""


def whole_files(folder: Path) -> None:
    """Every file under its final name is whole, and no traceback is needed to see it."""
    for path in folder.glob("*.ckpt"):
        torch_files.load_torch(path)
    if (folder / "metrics.csv").exists():
        lines = (folder / "metrics.csv").read_text().splitlines()
        assert len({line.count(",") for line in lines}) == 1
