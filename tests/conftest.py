"""Shared fixtures: golden numbers, thread counts, a small run."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["WANDB_MODE"] = "offline"

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
torch.set_num_threads(2)


@pytest.fixture(scope="session")
def golden():
    """Path of a golden file: the committed copy, else the one in ../shared, else the test is skipped."""

    def find(name: str) -> Path:
        for folder in (ROOT / "tests" / "golden", SHARED / "golden"):
            if (folder / name).is_file():
                return folder / name
        pytest.skip(f"{name} is neither in tests/golden nor in ../shared/golden")

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real CIFAR images; the test is skipped where it is absent."""
    if not (SHARED / "data" / "unpack.py").is_file():
        pytest.skip("the real CIFAR images (../shared/data) are not here")
    return SHARED / "data"
