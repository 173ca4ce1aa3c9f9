"""Which device --gpus means, on a machine with four GPUs that are not there."""

from types import SimpleNamespace

import pytest
import torch

from utils import devices
from utils.errors import UserError
from utils.inference import evaluator


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("words", ["", ",", "-2", "-1,", "0,-3", "1.5"])
def test_what_means_nothing_is_told(words):
    with pytest.raises(UserError, match=f"--gpus is '{words}' but must be a number, -1 or a list such as 0,1"):
        devices.accelerator_and_devices(words)


@pytest.mark.parametrize(
    ("words", "first", "of_the_third_process"),
    [(None, 0, 0), ("1", 0, 0), ("2", 0, 0), ("3", 0, 2), ("-1", 0, 2), ("3,1", 3, 3), ("3,2,1", 3, 1)],
)
def test_each_process_has_a_device_of_its_own(words, first, of_the_third_process, monkeypatch):
    assert devices.torch_device(words) == torch.device("cuda", first)
    for name in ("SLURM_LOCALID", "LOCAL_RANK"):  # of SLURM; of torchrun and Lightning, which comes first
        monkeypatch.setenv(name, "2")
        assert devices.torch_device(words) == torch.device("cuda", of_the_third_process)
        monkeypatch.setenv(name, "0")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *((None, ("auto", 1)), ("0", ("cpu", 1)), ("1", ("gpu", [0]))),
        *(("4", ("gpu", [0])), ("-1", ("gpu", [0])), ("2,3", ("gpu", [2]))),
    ],
)
def test_trained_weights_are_applied_on_one_device(words, expected, monkeypatch):
    asked = {}
    monkeypatch.setattr(evaluator.pl, "Trainer", lambda **settings: asked.update(settings))
    evaluator.evaluator(SimpleNamespace(gpus=words, precision="32"))
    assert (asked["accelerator"], asked["devices"]) == expected
