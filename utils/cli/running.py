"""A main from its settings to its exit code: errors to one line, Ctrl-C, and output that nobody reads any more."""

import argparse
import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from utils.errors import printable, told

UNREAD = 128 + signal.SIGPIPE  # what a shell says of a command that this signal has ended
INTERRUPTED = 128 + signal.SIGINT


@contextlib.contextmanager
def ends_when_unread() -> Iterator[None]:
    """Whoever reads the output may leave before its end, as in ``--help | head -1``: that ends the command silently.

    Raises:
        SystemExit: with the exit code 141.
    """
    leaving = None
    try:
        try:
            yield
        except SystemExit as ended:
            leaving = ended
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:  # another pipe, or a connection
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in unread:  # the interpreter's end writes what is left
            os.dup2(nowhere, stream.fileno())
        sys.exit(UNREAD)
    if leaving is not None:
        raise leaving


def _is_unread(stream: TextIO | None) -> bool:
    """Whether it leads into a pipe whose other end is closed."""
    try:
        descriptor = stream.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # there is no such stream, or it is no file
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def ends_when_interrupted() -> None:
    """Ctrl-C ends the process at once until :func:`run` begins: what a main imports first takes seconds."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where the signal is ignored
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: Any) -> None:
    os._exit(INTERRUPTED)  # an exception could be swallowed by what is being imported


@ends_when_unread()
def run(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace | Callable[[], argparse.Namespace]) -> None:
    """Call a main, whose integer is the exit code; what the user can mend is one line on stderr and the error's code.

    ``--debug`` shows the traceback instead. Where several processes train, all end with the code of the one that failed
    first, and its message is the first.

    Args:
        main: takes the settings.
        args: the settings, or what parses them.
    """
    for stream in (sys.stdout, sys.stderr):  # a file name that is not UTF-8 is printed with escapes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not isinstance(args, argparse.Namespace):
        args = args()
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = main(args)
    except KeyboardInterrupt:
        if getattr(args, "debug", False):
            raise
        sys.exit(INTERRUPTED)
    except Exception as error:
        problem = told(error)
        if getattr(args, "debug", False) or problem is None:
            raise
        print(f"{os.path.basename(sys.argv[0])}: error: {printable(str(problem))}", file=sys.stderr)
        sys.exit(problem.exit_code)
    if isinstance(code, int) and code:
        sys.exit(code)
