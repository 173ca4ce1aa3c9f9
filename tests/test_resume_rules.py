"""What may change when a run goes on: every flag has a rule, and the rule is what happens."""

import shutil
from pathlib import Path

import pytest

from tests.test_older_checkpoints import HERE, discover, disentangle, pretrain
from tests.utils.data.makers import write_folder
from utils import torch_files
from utils.cli.baseline_flags import BASELINE
from utils.cli.flag_types import TRAIN
from utils.cli.flags import flags_of
from utils.cli.resume_rules import FREE, REFUSED, RULES, SAID, rule_of
from utils.cli.settings import RECORDED
from utils.errors import UserError
from utils.training import resuming
from utils.training.resume_checks import check_checkpoint

STAGES = {"pretrain": pretrain, "discover": discover, "disentangle": disentangle}  # of which there are checkpoints


def settings_of(stage):
    """The settings of the run in tests/checkpoints, which was stopped after step 2 of epoch 2 of 3."""
    return torch_files.load_torch(HERE / f"{STAGES[stage].__name__}.ckpt")["hyper_parameters"]


def other(value):
    """A value of the same kind."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return not value if isinstance(value, bool) else "another"
    return value + 1


@pytest.mark.parametrize("stage", TRAIN)
def test_every_flag_of_training_has_a_rule(stage):
    listed = [name for names in RULES.values() for name in names]
    assert len(listed) == len(set(listed))
    missing = {flag.name for flag in flags_of(stage)} - set(listed)
    assert not missing, f"say in utils/cli/resume_rules.py whether a run may go on with another --{missing}"


def test_no_rule_without_a_flag():
    known = {flag.name for stage in TRAIN for flag in flags_of(stage)} | RECORDED.keys()
    known |= {flag.name for group in BASELINE.values() for flag in group}
    assert {name for names in RULES.values() for name in names} <= known


@pytest.mark.parametrize("stage", STAGES)
def test_the_rule_is_what_happens(stage, monkeypatch):
    path = HERE / f"{STAGES[stage].__name__}.ckpt"
    checkpoint = torch_files.load_torch(path)
    settings = checkpoint["hyper_parameters"]
    monkeypatch.setattr(torch_files, "load_torch", lambda path: checkpoint)  # once for all flags
    epochs = "epochs" if stage == "disentangle" else "max_epochs"
    same = f"resuming  {path}: epoch 2 of 3, after step 2; 5 steps in all"
    assert check_checkpoint(path, settings) == [same]
    for name, value in settings.items():
        if name in RECORDED:
            continue
        changed = settings | {name: other(value)}
        if rule_of(name) == REFUSED:
            with pytest.raises(UserError, match=f"is of another run: it has --{name} .*give --{name} as it was"):
                check_checkpoint(path, changed)
        elif rule_of(name) == SAID:
            first, second = check_checkpoint(path, changed)
            assert second == f"changed   since that checkpoint: --{name} {value} -> {changed[name]}"
            assert first == same.replace("of 3", "of 4" if name == epochs else "of 3")
        else:
            assert rule_of(name) == FREE
            assert check_checkpoint(path, changed) == [same]


def test_constraints_and_classes_of_another_run():
    path, settings = HERE / "discover.ckpt", settings_of("discover")
    baseline = {name: value for name, value in settings.items() if not name.startswith("factor_")}
    with pytest.raises(UserError, match=r"--factor_inter 0\.1, this one None"):
        check_checkpoint(path, baseline)
    with pytest.raises(UserError, match=r"--factor_mse None, this one 0\.01"):
        check_checkpoint(path, settings | {"factor_mse": 0.01})
    with pytest.raises(UserError, match="its labelled classes are 0, 1, 2, 3, 4, this one's 1, 0, 2, 3, 4"):
        check_checkpoint(path, settings | {"class_names": list("10234")})
    assert len(check_checkpoint(path, settings | {"class_names": None, "a_younger_flag": 1})) == 1


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ({"training": 70, "test": 20, "crc32": 2}, "training images 100 -> 70"),
        ({"training": 1070, "test": 0, "crc32": 2}, "training images 100 -> 1,070, test images 20 -> 0"),
        ({"training": 100, "test": 20, "crc32": 2}, "as many, but others, or with other labels"),
    ],
)
def test_images_of_another_run(tmp_path, here, told):
    images = {"training": 100, "test": 20, "crc32": 1}
    checkpoint = torch_files.load_torch(HERE / "discover.ckpt")
    settings = checkpoint["hyper_parameters"]
    path = tmp_path / "last.ckpt"
    assert len(check_checkpoint(HERE / "discover.ckpt", settings | {"images": images})) == 1  # it is older than that
    torch_files.save_torch(path, checkpoint | {"hyper_parameters": settings | {"images": images}})
    assert len(check_checkpoint(path, settings | {"images": images, "data_dir": "moved"})) == 2
    changed = settings | {"images": here, "num_unlabeled_classes": 4}
    with pytest.raises(UserError) as error:
        check_checkpoint(path, changed)
    said = f"the images are not those of the checkpoint ({told}); start a new run, or give --data_dir as it was"
    assert str(error.value) == f"{path} is of another run: {said}"
    with pytest.raises(UserError, match="it has --seed 0, this one 1; give --seed as it was"):
        check_checkpoint(path, changed | {"seed": 1})
    estimated = settings | {"images": images, "num_unlabeled_classes": 4, "num_unlabeled_estimated": True}
    number = (
        "it has --num_unlabeled_classes 5, and auto found 4 this time; give --num_unlabeled_classes 5, or the flags"
    )
    with pytest.raises(UserError, match=number):
        check_checkpoint(path, estimated)


@pytest.mark.parametrize("stage", ["discover", "disentangle"])
def test_a_run_does_not_go_on_with_fewer_images(tmp_path, stage):
    write_folder(tmp_path / "data", classes="abcde")
    epochs = "--epochs" if stage == "disentangle" else "--max_epochs"
    where = ["--data_dir", str(tmp_path / "data"), "--log_dir", str(tmp_path / "logs"), "--run_name", "run"]
    novel = [] if stage == "disentangle" else ["--num_labeled_classes", "2", "--num_unlabeled_classes", "3"]
    words = ["--dataset", "folder", "--batch_size", "4", *where, *novel, epochs, "1"]
    STAGES[stage](tmp_path, *words, "--limit_train_batches", "1")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    words[words.index("--data_dir") + 1] = str(tmp_path / "moved")
    STAGES[stage](tmp_path, *words)
    (tmp_path / "moved/train/a/1.png").unlink()
    with pytest.raises(UserError, match=r"the images are not those of the checkpoint \(training images \d+ -> \d+\); "):
        STAGES[stage](tmp_path, *words)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("epochs", [0, 1])
def test_fewer_epochs_than_are_done(stage, epochs):
    name = "epochs" if stage == "disentangle" else "max_epochs"
    with pytest.raises(UserError, match=f"is within epoch 2, and --{name} is {epochs}; give --{name} 2 or more"):
        check_checkpoint(HERE / f"{STAGES[stage].__name__}.ckpt", settings_of(stage) | {name: epochs})


def test_a_run_that_is_done(tiny_run):
    path, settings = tiny_run[0] / "last.ckpt", dict(tiny_run[1].lightning_module.hparams)
    assert check_checkpoint(path, settings)[0] == f"resuming  {path}: all 3 epochs are done, 9 steps in all"
    more = check_checkpoint(path, settings | {"max_epochs": 5})
    assert more[0] == f"resuming  {path}: epoch 4 of 5, after step 0; 9 steps in all"
    with pytest.raises(UserError, match="has 3 epochs done, and --max_epochs is 2; give --max_epochs 3 or more"):
        check_checkpoint(path, settings | {"max_epochs": 2})


def test_auto_says_that_there_is_nothing_and_what_is_beside_it(tmp_path, capsys):
    folder = tmp_path / "discover-resnet18-digits-5_5"
    assert resuming.find_checkpoint("auto", folder, {}) is None
    assert capsys.readouterr().out == f"note: no checkpoint in {folder}, so that a new run starts\n"
    for name in ("discover-resnet18-digits-5-5", "pretrain-resnet18-digits-x", "other", "quickstart"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.ckpt").touch()
    assert resuming.find_checkpoint("auto", folder, {}) is None
    near = "discover-resnet18-digits-5-5, pretrain-resnet18-digits-x"
    assert f"; runs in {Path(tmp_path)}: {near}" in capsys.readouterr().out


def test_a_run_that_goes_on_with_another_batch_size_or_says_where_it_goes_on(tmp_path, capsys):
    folder = tmp_path / "logs" / "run"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes((HERE / "pretrain.ckpt").read_bytes())
    where = ["--log_dir", str(tmp_path / "logs"), "--run_name", "run"]
    with pytest.raises(UserError, match="it has --batch_size 16, this one 32"):
        pretrain(tmp_path, *where, "--batch_size", "32")
    pretrain(tmp_path, *where)
    said = capsys.readouterr().out
    assert f"resuming  {folder / 'last.ckpt'}: epoch 2 of 3, after step 2; 5 steps in all\n" in said
    (weights,) = tmp_path.glob("*.cp")
    first = weights.read_bytes()
    weights.unlink()  # of a run that is finished: they are written again
    pretrain(tmp_path, *where)
    assert weights.read_bytes() == first
