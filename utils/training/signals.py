"""Signals that end a run in order, and questions on which all processes agree."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import torch

from utils.distributed import several_processes

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SECONDS = 2.0  # between two answers of `Consensus`, about


class Stopped(SystemExit):
    """A signal has ended the run, on all its processes after the same step."""


class Interruptions:
    """Remembers the first signal, for the training loop to end at the next step; a second one ends at once.

    Python runs a handler between two of its instructions, anywhere: nothing may be saved from within one.
    """

    def __init__(self) -> None:
        self.received = 0  # number of the signal
        self.deferred = False  # whether somebody asks for `received`; if not, a signal ends the process at once

    @contextlib.contextmanager
    def installed(self) -> Iterator["Interruptions"]:
        """Handle ``SIGNALS`` inside this context."""
        self._pid = os.getpid()
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a worker of a loader, which its parent ends
            if number != signal.SIGINT:
                os._exit(128 + number)
        elif self.received or not self.deferred:
            raise SystemExit(128 + number)
        else:
            self.received = number


def heeding_signals(wait: Callable[[], None], device: torch.device) -> None:
    """Wait in a thread, so that signals are handled: Python handles none while it is inside another library.

    Args:
        wait: a function that may wait for long, as for a process that does not come.
        device: current device of the thread.
    """
    errors: list[BaseException] = []

    def work() -> None:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            wait()
        except BaseException as error:  # raised below
            errors.append(error)

    thread = threading.Thread(target=work, name="wait", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if errors:
        raise errors[0]


class Consensus:
    """Numbers of which every process gets the largest over all of them.

    Several processes have to ask in the same steps. An answer costs a message and a wait for the device, so it is had
    every few seconds alone: the number of steps until the next one comes from the time of the slowest process.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Answer in the next step."""
        self.steps = self.left = 1
        self.answered = time.monotonic()

    def largest(self, values: Sequence[float], device: torch.device, now: bool = False) -> list[float] | None:
        """The largest values over all processes; None in the steps in between.

        Args:
            values: of this process.
            device: on which processes exchange.
            now: answer in this step; equal on all processes.
        """
        if not several_processes():
            return list(values)
        self.left -= 1
        if self.left > 0 and not now:
            return None
        seconds_a_step = (time.monotonic() - self.answered) / max(self.steps - self.left, 1)
        together = torch.tensor([*values, seconds_a_step], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(together, op=torch.distributed.ReduceOp.MAX)
        *answer, slowest = together.tolist()
        self.steps = self.left = max(1, min(100, int(SECONDS / max(slowest, 1e-3))))
        self.answered = time.monotonic()
        return answer
