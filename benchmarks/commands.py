"""Commands of the project as a benchmark runs them: each in a process of its own, finished ones not again."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import ROOT

from utils.comparison.commands import extraction_seconds


def rows_of(path: str | None) -> list[dict]:
    """The rows that a file of ``--json`` holds already."""
    return json.loads(Path(path).read_text())["rows"] if path and Path(path).exists() else []


def run(words: Sequence[Any], threads: int | None) -> dict[str, float]:
    """Run a command of the project; ends the benchmark where it fails.

    Returns:
        ``seconds`` of the whole command and of the ``extraction`` of features in it, and those that processors spent
        on it (``CPU seconds``), which others on the machine do not lengthen.
    """
    begun, spent = time.perf_counter(), _spent()
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(done.returncode)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "extraction": extraction_seconds(done.stdout), "CPU seconds": _spent() - spent}


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
