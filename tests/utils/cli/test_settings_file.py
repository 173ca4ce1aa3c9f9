"""config/config.yaml: published keys and defaults, precedence, and errors that name the key."""

import re

import pytest
import yaml

from utils import cli
from utils.cli.flags import flags_of
from utils.cli.settings_file import DEFAULT_PATH, NOT_IN_FILE, dataset_settings, load_yaml, read_config
from utils.errors import UserError

PUBLISHED = {
    "batch_size": 128,
    "epochs": 1000,
    "learning_rate": 3e-4,
    "backbone": "ResNet34",
    "hidden_dim": 128,
    "feature_num": 128,
    "instance_temperature": 0.5,
    "feature_temperature": 1.0,
    "weight_decay": 0,
    "seed": 42,
    "use_wandb": False,
    "evaluation_mode": 0.1,
    "save_model": True,
    "save_checkpoint": True,
    "reload": False,
    "use_gradnorm": False,
    "use_scheduler": False,
}


def parse(*words, stage="disentangle"):
    return cli.parse(stage, list(words))


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "stl10", "imagenet10", "tiny-imagenet"])
def test_published_defaults(dataset):
    args = vars(parse("--dataset", dataset))
    assert {name: args[name] for name in PUBLISHED} == PUBLISHED
    assert args["class_num"] == {"cifar100": 20, "tiny-imagenet": 200}.get(dataset, 10)
    assert args["blur"] is (dataset == "imagenet10")
    assert args["s"] == (1.0 if dataset in ("stl10", "imagenet10") else 0.5)
    assert parse("--dataset", dataset, stage="cluster").epoch == 1000


def test_the_file_holds_the_defaults_of_the_flags():
    defaults = {flag.name: flag.default_for("disentangle") for flag in flags_of("disentangle")}
    common = yaml.safe_load(DEFAULT_PATH.read_text())["common"]
    assert common.pop("checkpoint") is defaults["save_checkpoint"]
    assert common == {name: defaults[name] or common[name] for name in common}
    assert common["customize_datasets"] == {}


def write(tmp_path, **blocks):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(blocks))
    return ["--config", str(tmp_path / "c.yaml")]


def test_flag_over_block_over_common_over_default(tmp_path):
    flags = write(tmp_path, common={"epochs": 5, "s": 0.7, "seed": 1}, stl10={"epochs": 6, "s": 0.8})
    args = parse("--dataset", "stl10", *flags, "--s", "0.9")
    assert (args.s, args.epochs, args.seed, args.batch_size) == (0.9, 6, 1, 128)
    assert parse("--dataset", "cifar10", *flags).epochs == 5
    assert parse("--dataset", "stl10", *flags, stage="cluster").epoch == 6


def test_every_key_is_a_flag_and_the_other_way_round():
    flags = {flag.name: flag for flag in flags_of("disentangle")}
    for name, value in yaml.safe_load(DEFAULT_PATH.read_text())["common"].items():
        assert name in flags
        name = {"checkpoint": "save_checkpoint"}.get(name, name)
        if isinstance(value, bool):
            assert getattr(parse("--dataset", "stl10", f"--{name}"), name) is True
            assert getattr(parse("--dataset", "stl10", f"--no-{name}"), name) is False
    assert set(NOT_IN_FILE) <= set(flags)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"epoch": 3}, "common has the unknown key 'epoch'; did you mean 'epochs'?"),
        ({"dataset": "stl10"}, "common has the unknown key 'dataset'"),
        ({"epochs": "many"}, "common.epochs is 'many' but must be a whole number"),
        ({"epochs": 2.5}, "common.epochs is 2.5 but must be a whole number"),
        ({"epochs": True}, "common.epochs is True but must be a whole number"),
        ({"epochs": None}, "common.epochs is None but must be a whole number"),
        ({"epochs": 0}, "common.epochs is 0 but must be at least 1"),
        ({"blur": 1}, "common.blur is 1 but must be true or false"),
        ({"learning_rate": "fast"}, "common.learning_rate is 'fast' but must be a number"),
        ({"backbone": ["ResNet18"]}, "common.backbone is ['ResNet18'] but must be a text"),
        ({"method": "moco"}, "common.method is 'moco' but must be one of cd, simclr"),
        ({"evaluation_mode": 1.5}, "common.evaluation_mode is 1.5 but must be all, none or a share"),
        ({"evaluation_mode": "some"}, "common.evaluation_mode is 'some' but must be"),
        ({"customize_datasets": ["photos"]}, "common.customize_datasets is ['photos'] but must be a mapping"),
        ("text", "common is not a block of settings"),
    ],
)
def test_wrong_settings_are_named(tmp_path, capsys, block, message):
    with pytest.raises(SystemExit) as stopped:
        parse("--dataset", "stl10", *write(tmp_path, common=block))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


PUBLISHED_LAYOUT = """
common:
  batch_size: 128
  learning_rate: 3e-4
  s: 1.0
  evaluation_mode: 0.1
  reload: true
  checkpoint: {checkpoint}
  customize_datasets: false
datasets:
  cifar10:
    class_num: 10
    s: 0.5
  stl10:
    class_num: 10
"""


@pytest.mark.parametrize("checkpoint", [True, False])
def test_the_published_file_loads_as_it_is(tmp_path, checkpoint):
    (tmp_path / "c.yaml").write_text(PUBLISHED_LAYOUT.format(checkpoint=str(checkpoint).lower()))
    args = parse("--dataset", "cifar10", "--config", str(tmp_path / "c.yaml"))
    assert (args.s, args.learning_rate, args.class_num, args.evaluation_mode) == (0.5, 3e-4, 10, 0.1)
    assert (args.save_checkpoint, args.checkpoint, args.customize_datasets) == (checkpoint, None, None)
    assert args.resume_from_checkpoint == "auto"  # reload
    assert parse("--dataset", "stl10", "--config", str(tmp_path / "c.yaml")).s == 1.0


def test_a_checkpoint_in_the_file_may_be_a_path_too(tmp_path):
    flags = write(tmp_path, common={"checkpoint": "logs/x/last.ckpt", "reload": True})
    assert parse("--dataset", "stl10", *flags).resume_from_checkpoint == "logs/x/last.ckpt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("common: {s: 1.0, s: 0.5}", "the key 's' is there twice"),
        ("common: {s: 1.0}\ncommon: {s: 0.5}", "the key 'common' is there twice"),
        ("datasets: 3", "datasets is 3 but must hold a block for each dataset"),
        ("datasets: {stl10: {s: 1}}\nstl10: {s: 0.5}", "has the block 'stl10' twice"),
        ("datasets: {stl10: {z: 1}}", "stl10 has the unknown key 'z'"),
        ("common: {checkpoint: 3.5}", "common.checkpoint is 3.5 but must be a text"),
        ("common: {feature_num: 1}", "common.feature_num is 1 but must be at least 2"),
        ("a: " + "[" * 5000, "is not YAML"),
    ],
)
def test_files_that_mean_two_things_or_none(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_config(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)


def test_a_key_that_replaces_a_merged_one_is_not_there_twice():
    """Neither where it stands, nor where another block merges both."""
    text = "g: &g {s: 1}\na: {b: {c: &h {<<: *g, s: 2}}}\nd: {<<: *h, s: 3}"
    assert load_yaml(text) == {"g": {"s": 1}, "a": {"b": {"c": {"s": 2}}}, "d": {"s": 3}}


@pytest.mark.parametrize(("mode", "expected"), [(1, 1.0), (0.1, 0.1), ("all", "all"), ("none", "none"), ("0.25", 0.25)])
def test_evaluation_modes(tmp_path, mode, expected):
    assert parse("--dataset", "stl10", *write(tmp_path, common={"evaluation_mode": mode})).evaluation_mode == expected
    assert parse("--dataset", "stl10", "--evaluation_mode", str(mode)).evaluation_mode == expected


def test_numbers_that_yaml_takes_for_texts(tmp_path):
    (tmp_path / "c.yaml").write_text("common:\n  learning_rate: 3e-4\n  weight_decay: 0\n")
    settings = dataset_settings("stl10", str(tmp_path / "c.yaml"))
    assert (settings["learning_rate"], settings["weight_decay"]) == (3e-4, 0.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "mnist"], r"unknown dataset 'mnist'; known are .*stl10"),
        ([], r"--dataset"),
        (["--dataset", "stl10", "--config", "absent.yaml"], r"--config absent\.yaml cannot be read: No such file"),
        (
            ["--dataset", "stl10", "--evaluation_mode", "0"],
            r"--evaluation_mode is 0\.0 but must be all, none or a share",
        ),
        (["--dataset", "stl10", "--epoch", "5"], r"unknown flag '--epoch'; did you mean --epochs\?"),
        (["--dataset", "photos", "--customize_datasets", "photos"], r"unknown dataset 'photos'|customize_datasets"),
    ],
)
def test_wrong_flags(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*words)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


def test_a_file_that_is_not_yaml(tmp_path):
    (tmp_path / "c.yaml").write_text("common: [")
    with pytest.raises(UserError, match=r"c\.yaml is not YAML"):
        read_config(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("[1, 2]")
    with pytest.raises(UserError, match="expected blocks of settings"):
        read_config(tmp_path / "c.yaml")


def test_names_for_your_own_data(tmp_path):
    flags = write(tmp_path, common={"customize_datasets": {"photos": "somewhere/photos"}}, photos={"epochs": 7})
    args = parse("--dataset", "photos", *flags)
    assert (args.epochs, args.customize_datasets) == (7, {"photos": "somewhere/photos"})
    args = parse("--dataset", "x", "--customize_datasets", "x=npz:a.npz,y=b")
    assert args.customize_datasets == {"x": "npz:a.npz", "y": "b"}
    assert (
        parse("--dataset", "stl10", *write(tmp_path, common={"customize_datasets": False})).customize_datasets is None
    )
