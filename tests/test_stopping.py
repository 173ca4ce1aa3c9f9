"""Stop anywhere, continue exactly: signals, damaged checkpoints, two runs in one folder."""

import os
import shutil
import signal
import time

import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import tiny_discovery
from utils import files, torch_files
from utils.errors import UserError
from utils.training import resuming
from utils.training.checkpoint_io import PREVIOUS
from utils.training.signals import Consensus, Interruptions


def assert_same(first, second, where=""):
    """Equal to the last bit, tensors and containers and all."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key, value in first.items():
            assert_same(value, second[key], f"{where}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}/{place}")
    else:
        assert first == second, where


def assert_same_run(folder, other):
    """Weights, optimizer, progress and metrics are those of a run that was never stopped."""
    first, second = (torch_files.load_torch(path / "last.ckpt") for path in (folder, other))
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "metrics"):
        assert_same(first[name], second[name], name)
    assert (folder / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    metrics = [(path / "metrics.json").read_text().split('"seconds"')[0] for path in (folder, other)]
    assert metrics[0] == metrics[1]
    assert not list(other.glob(".*"))


def stopping(hook, epoch, number, place=1, of=Discoverer):
    """A discoverer, or another module, that receives a signal in a hook, in a batch of an epoch."""

    class Stopping(of):
        pass

    def signalled(self, batch, batch_idx, *args):
        if self.trainer.state.fn == "fit" and self.current_epoch == epoch and batch_idx == place:
            os.kill(os.getpid(), number)
        return getattr(of, hook)(self, batch, batch_idx, *args)

    setattr(Stopping, hook, signalled)
    return Stopping


@pytest.mark.parametrize(
    ("hook", "epoch", "number", "where"),
    [
        ("training_step", 0, signal.SIGTERM, "stopped by SIGTERM after step 2 of epoch 1"),
        ("training_step", 2, signal.SIGINT, "stopped by SIGINT after step 2 of epoch 3"),
        ("validation_step", 1, signal.SIGUSR1, "stopped by SIGUSR1 after step 3 of epoch 2"),
    ],
)
def test_a_signal_stops_at_the_next_step_and_nothing_is_lost(tiny_run, tmp_path, capsys, hook, epoch, number, where):
    folder, _, pretrained = tiny_run
    flags = ["--pretrained", str(pretrained), "--eval_batch_size", "150"]
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    with pytest.raises(SystemExit) as stopped:
        tiny_discovery(tmp_path, *flags, discoverer=stopping(hook, epoch, number))
    assert stopped.value.code == 128 + number
    assert where in capsys.readouterr().out
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before
    tiny_discovery(tmp_path, *flags, "--resume_from_checkpoint", "auto")
    assert_same_run(folder, tmp_path / "logs" / "run")


def test_a_finished_run_that_is_resumed_stays_as_it_is(tiny_run, tmp_path):
    folder, _, pretrained = tiny_run
    run = tmp_path / "logs" / "run"
    shutil.copytree(folder, run)
    (run / "metrics.json").unlink()  # killed just before
    tiny_discovery(tmp_path, "--pretrained", str(pretrained), "--resume_from_checkpoint", "auto")
    assert_same_run(folder, run)


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run with two checkpoints: the settings, its folder, and the weights it began with."""
    folder, trainer, _ = tiny_run
    (tmp_path / "run").mkdir()
    for name in ("last.ckpt", PREVIOUS):
        shutil.copy(folder / "last.ckpt", tmp_path / "run" / name)
    return dict(trainer.lightning_module.hparams), tmp_path / "run"


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    place = len(data) // 3
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b"", lambda data: data[:-1], lambda data: b"\x80\x02."])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, capsys, damage):
    settings, folder = run
    last, previous = folder / "last.ckpt", folder / PREVIOUS
    assert resuming.find_checkpoint("auto", folder, settings) == str(last)
    last.write_bytes(damage(last.read_bytes()))
    assert resuming.find_checkpoint("auto", folder, settings) == str(previous)
    assert f"warning: {last} is damaged" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"last\.ckpt is damaged"):
        resuming.find_checkpoint(str(last), folder, settings)
    previous.write_bytes(damage(previous.read_bytes()))
    with pytest.raises(UserError, match=r"last\.ckpt is damaged.*previous\.ckpt is damaged.*starts anew and keeps"):
        resuming.find_checkpoint("auto", folder, settings)


def test_a_checkpoint_of_another_run_is_refused(run, tiny_run):
    settings, folder = run
    with pytest.raises(UserError, match=r"is of another run: it has --seed 0, this one 1"):
        resuming.find_checkpoint(str(folder / "last.ckpt"), folder, settings | {"seed": 1})
    stage = {name: value for name, value in settings.items() if name != "num_heads"}
    with pytest.raises(UserError, match="another stage of training"):
        resuming.find_checkpoint(str(folder / "last.ckpt"), folder, stage)
    shutil.copy(tiny_run[2], folder / "last.ckpt")
    with pytest.raises(UserError, match="is no checkpoint of a run"):
        resuming.find_checkpoint(str(folder / "last.ckpt"), folder, settings)


def test_two_runs_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SECONDS_TO_END", 0.1)
    with (
        resuming.own_folder(tmp_path / "run"),
        pytest.raises(UserError, match="another run is writing to"),
        resuming.own_folder(tmp_path / "run"),
    ):
        pass
    with resuming.own_folder(tmp_path / "run"):
        (tmp_path / "run" / "last.ckpt").write_text("a week of work")
        (tmp_path / "run" / ".last.ckpt.17.tmp").write_text("half")
        files.remove_unfinished(tmp_path / "run")
        resuming.make_ready(tmp_path / "run", None)
    assert {path.name: path.read_text() for path in (tmp_path / "run").iterdir()} == {"replaced.ckpt": "a week of work"}


def test_the_last_two_are_kept_and_a_full_disk_harms_neither(tmp_path, monkeypatch):
    path, previous = tmp_path / "last.ckpt", tmp_path / PREVIOUS
    for value in range(3):
        torch_files.save_torch(path, {"value": torch.full((1000,), value)}, previous)
    assert [int(torch_files.load_torch(each)["value"][0]) for each in (path, previous)] == [2, 1]
    assert torch.load(path, weights_only=True)["value"][0] == 2  # a plain archive, digest or not

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"last\.ckpt cannot be written \(No space left on device\)"):
        torch_files.save_torch(path, {"value": torch.zeros(1)}, previous)
    assert [int(torch_files.load_torch(each)["value"][0]) for each in (path, previous)] == [2, 1]
    assert {each.name for each in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}


def test_a_second_signal_ends_at_once():
    with Interruptions().installed() as interruptions:
        interruptions.deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert interruptions.received == signal.SIGTERM
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGINT)
        assert ended.value.code == 130


def test_one_process_agrees_with_itself_in_every_step():
    consensus = Consensus()
    assert [consensus.largest([step, 0], torch.device("cpu")) for step in range(3)] == [[0, 0], [1, 0], [2, 0]]
