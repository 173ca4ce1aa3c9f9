"""A process that decodes images and dies, as an error that says what to do."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from utils.errors import UserError, first_line


@contextmanager
def told_of_dead_workers(*signs: type[Exception]) -> Iterator[None]:
    """A worker that dies is an error for the user, wherever its death is noticed: torch raises from a signal's handler.

    Args:
        signs: what else tells of a death here, beside torch's own error.

    Raises:
        UserError: when a worker was killed, by the system for its memory for instance.
    """
    try:
        yield
    except Exception as error:
        of_torch = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
        if not (of_torch or isinstance(error, signs)):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would raise again at the end of any other process
        raise UserError(
            f"a process that decodes images has died ({first_line(error)}); the system may have run out of memory: "
            "lower --num_workers and start again; a training goes on with --resume_from_checkpoint auto"
        ) from error
