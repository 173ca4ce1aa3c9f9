"""The one exception that is meant for the user: `cli.run` prints it as a single line and exits with its code."""

import contextlib
import difflib
import errno
import logging
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

ASKED_FOR = (  # how libraries spell the size that they did not get: torch on the CPU; torch on a GPU and numpy
    re.compile(r"tried to allocate (?P<bytes>\d+) bytes"),
    re.compile(r"(?:[Tt]ried to|Unable to) allocate (?P<size>[\d.]+ \w*i?B)\b"),
)
TOO_LARGE_TO_COUNT = ("Storage size calculation overflowed", "multiplication overflow", "array is too big")


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what was given, what was expected and what to do."""

    exit_code = 2


class NonFiniteError(UserError):
    """The loss or its gradient is not a finite number, and the run was told to stop there."""

    exit_code = 3


SHOWN = 8  # names in a message


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are, for a message.

    >>> listed(["a", "b"]), listed(list("abcdefghi"))
    ('a, b', 'a, b, c, d, e, f, g, h, … (9 in all)')
    """
    return ", ".join(map(printable, names[:SHOWN])) + (f", … ({len(names)} in all)" if len(names) > SHOWN else "")


def told(error: BaseException) -> UserError | None:
    """What a library refuses for the user's settings as an error for the user; None for anything else.

    That is memory which cannot be had, and what Lightning calls a misconfiguration.
    """
    if isinstance(error, UserError):
        return error
    if type(error).__name__ == "MisconfigurationException":
        return UserError(" ".join(str(error).split()))
    text = str(error)
    found = next(filter(None, (pattern.search(text) for pattern in ASKED_FOR)), None)
    overflow = any(phrase in text for phrase in TOO_LARGE_TO_COUNT)
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not (
        isinstance(error, MemoryError)
        or refused
        or (isinstance(error, (RuntimeError, ValueError)) and (found or overflow))
    ):
        return None
    size = "more than can be counted" if overflow else "of unknown size"
    if found:
        size = found["size"] if "size" in found.groupdict() else readable(int(found["bytes"]))
    return UserError(
        f"a piece of memory was asked for that is not there ({size}); lower --batch_size, --image_size, --width or "
        "what else is large"
    )


def readable(size: int) -> str:
    """A number of bytes for people.

    >>> readable(61_440_000_000_000), readable(2048), readable(3)
    ('55.9 TiB', '2.0 KiB', '3 B')
    """
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    power = min((size.bit_length() - 1) // 10, len(units) - 1) if size else 0
    return f"{size / 1024**power:.1f} {units[power]}" if power else f"{size} B"


def shortened(text: str, length: int = 200) -> str:
    r"""A library's words in one line, cut between words.

    >>> shortened("mapping values\n are not allowed", 20)
    'mapping values are …'
    """
    return textwrap.shorten(text, length, placeholder=" …")


def first_line(error: BaseException) -> str:
    r"""The first line of what a library says of an error, or the error's kind where it says nothing.

    >>> first_line(ValueError("not a number\nin line 3")), first_line(EOFError())
    ('not a number', 'EOFError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message on a name that is unknown: the known one that is most like it, if one is.

    >>> did_you_mean("hors", ["hours", "seeds"]), did_you_mean("x", ["hours"])
    ("; did you mean 'hours'?", '')
    """
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def printable(text: str) -> str:
    r"""A text in one line that any terminal and file takes: control characters and undecodable bytes as escapes.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Without what other packages log below an error: what matters of it is an error of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
