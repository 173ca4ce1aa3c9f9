"""Pieces of a result of which one that fails is told and does not take the others with it."""

from collections.abc import Callable
from typing import TypeVar

from utils.distributed import say
from utils.errors import printable

T = TypeVar("T")


class Attempts:
    """Makes pieces; notes which failed, and why.

    Attributes:
        failed: name of a piece -> the reason, in one line.
    """

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def __call__(self, name: str, make: Callable[[], T], instead: T) -> T:
        """What ``make`` gives, or ``instead`` where it fails, which is said."""
        try:
            return make()
        except Exception as error:  # drawing libraries raise almost anything
            first = (str(error).strip().splitlines() or [""])[0]
            self.failed[name] = printable(f"{type(error).__name__}: {first}".removesuffix(": "))
            say(f"warning: {printable(name)} failed ({self.failed[name]}); the rest goes on")
            return instead
