"""Nothing is written when nothing was trained, and no good file gives way to a run that has not finished an epoch."""

import shutil
import signal

import pytest

from tests.conftest import tiny_discovery, tiny_disentangling, tiny_pretraining
from tests.test_stopping import stopping
from utils import cli, torch_files
from utils.errors import UserError
from utils.methods.pretrainer import Pretrainer
from utils.training import resuming
from utils.training.resume_checks import progress


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
    assert progress(finished / "logs/run/last.ckpt").epochs == 3
    tiny_discovery(finished, "--max_epochs", "1")
    assert progress(finished / "logs/run/replaced.ckpt").epochs == 3


def test_of_two_checkpoints_the_intact_one_is_kept(tmp_path):
    for name in ("last.ckpt", "previous.ckpt"):
        torch_files.save_torch(tmp_path / name, {"name": name})
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    for own in ("last.ckpt", "previous.ckpt"):
        resuming.make_ready(tmp_path, str(tmp_path / own))
        assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}
    resuming.make_ready(tmp_path, None)
    assert {path.name for path in tmp_path.iterdir()} == {"replaced.ckpt"}
    assert torch_files.load_torch(tmp_path / "replaced.ckpt") == {"name": "previous.ckpt"}


def leave(path, steps, epochs, max_epochs=12):
    """A checkpoint of a run that has gone so far."""
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": epochs}}}}
    settings = {"max_epochs": max_epochs}
    torch_files.save_torch(path, {"global_step": steps, "loops": loops, "hyper_parameters": settings})


@pytest.mark.parametrize(
    ("older", "last", "stays"),
    [
        ((144, 12), (17, 1), "older"),  # a finished run and the beginning of another try
        ((17, 1), (144, 12), "last"),
        ((150, 12, 500), (150, 12, 12), "last"),
        ((150, 12, 12), (150, 12, 500), "older"),  # as far, but not finished
        ((144, 12), (144, 12), "last"),
        ((17, 1), None, "older"),  # damaged
        (None, (17, 1), "last"),
    ],
)
def test_of_two_runs_that_were_replaced_the_one_that_has_gone_further_is_kept(tmp_path, capsys, older, last, stays):
    paths = {"older": tmp_path / "replaced.ckpt", "last": tmp_path / "last.ckpt"}
    for path, far in zip(paths.values(), (older, last), strict=True):
        leave(path, *far) if far else path.write_bytes(b"no checkpoint")
    expected = {name: progress(path) for name, path in paths.items()}
    resuming.make_ready(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["replaced.ckpt"]
    assert progress(tmp_path / "replaced.ckpt") == expected[stays]
    note = capsys.readouterr().out
    dropped = expected["last" if stays == "older" else "older"]
    assert f"({dropped}) is dropped" in note
    assert f"({expected[stays]}) {'has gone further and stays' if stays == 'older' else 'is kept'}" in note
    assert note.count("\n") == 1


def test_a_finished_run_survives_two_fresh_starts_that_were_stopped(finished, capsys):
    before = (finished / "logs/run/last.ckpt").read_bytes()
    for _ in range(2):
        with pytest.raises(SystemExit):
            tiny_discovery(finished, discoverer=stopping("training_step", 1, signal.SIGINT))
        assert (finished / "logs/run/replaced.ckpt").read_bytes() == before
    assert progress(finished / "logs/run/replaced.ckpt").rank[1]
    assert "replaced.ckpt (3 of 3 epochs, 9 steps) has gone further" in capsys.readouterr().out


def test_a_run_that_goes_on_from_elsewhere_keeps_the_checkpoint_of_the_run_in_its_folder(finished, capsys):
    tiny_discovery(finished, "--max_epochs", "1", name="other")
    other, run = finished / "logs/other", finished / "logs/run"
    before = (other / "last.ckpt").read_bytes()
    source = ("--resume_from_checkpoint", str(run / "last.ckpt"))
    tiny_discovery(finished, "--max_epochs", "4", *source, name="other")
    assert (other / "replaced.ckpt").read_bytes() == before
    assert f"note: {other} held a run; its checkpoint is kept as replaced.ckpt; " in capsys.readouterr().out
    assert progress(other / "last.ckpt").epochs == 4


@pytest.mark.parametrize("best", ["last", "previous"])
def test_a_run_that_goes_on_from_the_kept_checkpoint_changes_places_with_the_other(tmp_path, capsys, best):
    paths = {name: tmp_path / f"{name}.ckpt" for name in ("replaced", "last", "previous")}
    for steps, path in enumerate(paths.values(), 1):
        leave(path, steps, steps)
    if best == "previous":
        paths["last"].write_bytes(paths["last"].read_bytes()[:-1])
    before = {name: path.read_bytes() for name, path in paths.items()}
    resuming.make_ready(tmp_path, str(paths["replaced"]))
    assert contents(tmp_path) == {"last.ckpt": before["replaced"], "replaced.ckpt": before[best]}
    told = "its checkpoint is kept as replaced.ckpt, and the one that this run goes on from is now last.ckpt"
    assert f"held a run; {told}; " in capsys.readouterr().out


def test_weights_of_another_run_are_kept_beside_and_the_same_ones_are_not(tmp_path, capsys):
    target = tmp_path / "pretrain-resnet18-digits-tiny.cp"
    target.write_bytes(b"published")
    tiny_pretraining(tmp_path, "--max_epochs", "1")
    assert f"note: {target} was there already; it is kept as {target.stem}.replaced.cp\n" in capsys.readouterr().out
    first = target.read_bytes()
    tiny_pretraining(tmp_path, "--max_epochs", "1", "--run_name", "again")
    assert "note:" not in capsys.readouterr().out
    tiny_pretraining(tmp_path, "--max_epochs", "1", "--run_name", "second", "--seed", "1")
    assert f"it is kept as {target.stem}.replaced-2.cp\n" in capsys.readouterr().out
    kept = {path.name.removeprefix(target.stem): path.read_bytes() for path in tmp_path.glob("*.cp")}
    assert kept == {".replaced.cp": b"published", ".replaced-2.cp": first, ".cp": target.read_bytes()}


def test_a_run_that_goes_on_replaces_its_own_weights_and_no_others(tmp_path, capsys):
    target = tiny_pretraining(tmp_path)
    more = ("--resume_from_checkpoint", "auto", "--max_epochs")
    first = target.read_bytes()
    with pytest.raises(SystemExit):  # between the weights and their successors, so that the checkpoint has to know
        tiny_pretraining(tmp_path, *more, "4", pretrainer=stopping("training_step", 3, signal.SIGTERM, of=Pretrainer))
    tiny_pretraining(tmp_path, *more, "4")
    assert target.read_bytes() != first
    assert list(tmp_path.glob("*.cp")) == [target]
    assert "it is kept as" not in capsys.readouterr().out
    target.write_bytes(b"somebody else's")
    tiny_pretraining(tmp_path, *more, "5")
    assert target.with_suffix(".replaced.cp").read_bytes() == b"somebody else's"
