"""The one exception that is meant for the user: `cli.run` prints it as a single line and exits with its code."""

from collections.abc import Sequence


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what was given, what was expected and what to do."""

    exit_code = 2


class NonFiniteError(UserError):
    """The loss or its gradient is not a finite number, and the run was told to stop there."""

    exit_code = 3


SHOWN = 8  # names in a message


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are, for a message.

    >>> listed(["a", "b"])
    'a, b'
    """
    return ", ".join(map(printable, names[:SHOWN])) + (f", … ({len(names)} in all)" if len(names) > SHOWN else "")


def printable(text: str) -> str:
    r"""A text in one line that any terminal and file takes: control characters and undecodable bytes as escapes.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
