"""Nothing is written when nothing was trained, and no good file gives way to a run that has not finished an epoch."""

import shutil
import signal

import pytest

from tests.conftest import tiny_discovery, tiny_disentangling, tiny_pretraining
from tests.test_stopping import stopping
from utils import cli, torch_files
from utils.errors import UserError
from utils.training import resuming
from utils.training.resume_checks import epochs_done


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def finished(tiny_run, tmp_path):
    """Copies of a finished run and of its weights; the folder above them."""
    shutil.copytree(tiny_run[0], tmp_path / "logs" / "run")
    shutil.copy(tiny_run[2], tmp_path)
    return tmp_path


@pytest.fixture
def no_steps(monkeypatch):
    """Epochs without steps, whatever the flags allow."""
    given = cli.trainer_arguments
    monkeypatch.setattr(cli, "trainer_arguments", lambda args: given(args) | {"limit_train_batches": 0})


@pytest.mark.parametrize("run", [tiny_pretraining, tiny_discovery, tiny_disentangling])
def test_a_run_without_steps_writes_nothing(tmp_path, no_steps, run):
    with pytest.raises(UserError, match=r"nothing was trained: .*; nothing was written"):
        run(tmp_path)
    assert contents(tmp_path) == {}


def test_a_run_without_steps_leaves_a_finished_one_as_it_is(finished, no_steps, monkeypatch):
    before = contents(finished)
    for run in (tiny_pretraining, tiny_discovery):
        with pytest.raises(UserError, match="nothing was trained"):
            run(finished)
    assert contents(finished) == before
    monkeypatch.undo()
    tiny_discovery(finished, "--fast_dev_run")
    assert contents(finished) == before


def test_a_run_that_is_stopped_in_its_first_epoch_replaces_nothing_but_the_place_of_the_checkpoint(finished):
    before = contents(finished)
    for _ in range(2):  # the second one finds the checkpoint of the first
        with pytest.raises(SystemExit):
            tiny_discovery(finished, discoverer=stopping("training_step", 0, signal.SIGTERM))
        after = contents(finished)
        run = "logs/run/"
        assert after.pop(f"{run}replaced.ckpt") == before[f"{run}last.ckpt"]
        assert after.pop(f"{run}last.ckpt") != before[f"{run}last.ckpt"]
        assert after.pop(f"{run}log.txt").startswith(before[f"{run}log.txt"])
        kept = {name: data for name, data in before.items() if name not in (f"{run}last.ckpt", f"{run}log.txt")}
        assert after == kept
    tiny_discovery(finished, "--resume_from_checkpoint", "auto")  # without a row of the run before
    assert (finished / "logs/run/metrics.csv").read_text().count("\n") == 4
    assert epochs_done(finished / "logs/run/last.ckpt") == 3
    tiny_discovery(finished, "--max_epochs", "1")
    assert epochs_done(finished / "logs/run/replaced.ckpt") == 3


def test_of_two_checkpoints_the_intact_one_is_kept(tmp_path):
    for name in ("last.ckpt", "previous.ckpt"):
        torch_files.save_torch(tmp_path / name, {"name": name})
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    resuming.make_ready(tmp_path, resumed=True)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}
    resuming.make_ready(tmp_path, resumed=False)
    assert {path.name for path in tmp_path.iterdir()} == {"replaced.ckpt"}
    assert torch_files.load_torch(tmp_path / "replaced.ckpt") == {"name": "previous.ckpt"}
