"""How a comparison stops before its end: by a signal, or by itself in time. Imports no torch."""

import signal

OUT_OF_TIME = 75  # the exit code for "try again"
RESERVE, LAST = 30.0, 8.0  # seconds before the time is up: when a run is asked to end, and when it is ended


class Stopped(Exception):
    """A signal asked the driver to end, ``SIGALRM`` for its time; the run's command has written its checkpoint."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def in_time(self) -> bool:
        return self.number == signal.SIGALRM

    @property
    def exit_code(self) -> int:
        return OUT_OF_TIME if self.in_time else 128 + self.number
