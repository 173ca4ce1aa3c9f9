"""Freed memory stays with the process where there is a glibc."""

import ctypes
import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from utils.training.freed_memory import keep_freed_memory

COUNT = """
import resource
import numpy as np
from utils.training.freed_memory import keep_freed_memory
if {keep}: assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**26, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_block_that_was_freed_comes_without_new_pages():
    def faults(keep: bool) -> int:
        words = [sys.executable, "-c", COUNT.format(keep=keep)]
        return int(subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    assert faults(keep=True) <= 1 < faults(keep=False)


def test_other_systems_go_on_as_they_were(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
