"""Messages say what was given and what to do; what strangers' files hold is told, never computed, run or repeated."""

import csv
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.utils.data.makers import pixels
from utils import cli, files, torch_files
from utils.cli.flags import FAMILIES
from utils.cli.parser import MAINS
from utils.data.containers import SourceRequest
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.images import read_image, shorter_side
from utils.data.sources.imagenet import read_imagenet
from utils.data.sources.npz import read_npz
from utils.data.specs import dataset_spec
from utils.data.splits import make_split
from utils.errors import UserError
from utils.evaluation.class_number import Estimate
from utils.training.callbacks import Progress


def test_a_damaged_checkpoint_is_told_in_whole_words(tmp_path):
    (tmp_path / "x").write_bytes(b"no checkpoint at all")
    with pytest.raises(UserError, match=r"is damaged or is not a checkpoint of tensors \(.*\)$") as error:
        torch_files.load_torch(tmp_path / "x")
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    ("stage", "flag", "hint"),
    [
        ("pretrain", "--num_heads", "unknown flag '--num_heads'; --num_heads is a flag of main_discover.py"),
        ("disentangle", "--epoch", "unknown flag '--epoch'; did you mean --epochs? --epoch is a flag of evaluate.py"),
        ("discover", "--images", "--images is a flag of main_predict.py"),
        ("discover", "--sup_weight", "--sup_weight is a flag of main_discover_gcd.py"),
        ("discover", "--margin", "--margin is a flag of baselines/kcl.py"),
        ("discover", "--no-hard_negatives", "--no-hard_negatives is a flag of baselines/ncl.py"),
        ("discover", "--factor_kd", "--factor_kd is a flag of baselines/rkd.py"),
        ("discover", "--rampup_length", "is a flag of the methods of baselines/ on pairs of images"),
        ("discover", "--pca", "scripts/estimate_classes.py, baselines/kmeans.py, baselines/semi_kmeans.py"),
        ("discover", "--out", "main_evaluate.py, scripts/visualization.py, scripts/draw_confusion_matrix.py"),
        ("discover", "--factor_intra", "is a flag of main_discover_inter_intra.py, main_discover_intra.py"),
        ("discover", "--max_epoch", "unknown flag '--max_epoch'; did you mean --max_epochs?"),
        ("discover", "--nothing_like_it", "see --help"),
    ],
)
def test_a_flag_of_another_main(capsys, stage, flag, hint):
    with pytest.raises(SystemExit):
        cli.parse(stage, ["--dataset", "stl10"] * (stage == "disentangle") + [flag, "3"])
    error = capsys.readouterr().err
    assert hint in error
    assert error.count("\n") == 1


def test_a_hint_knows_the_mains_of_every_stage():
    assert MAINS.keys() == {
        stage for family in FAMILIES for rows in family.values() for row in rows for stage in row.stages
    }


def test_an_unknown_dataset_hints_at_folder_and_npz(tmp_path):
    (tmp_path / "x.npz").touch()
    for given, hint in [
        ("mnist", "for other images: npz:<file> for arrays, or folder with --data_dir FOLDER"),
        (str(tmp_path), f"for this folder of images: --dataset folder --data_dir {tmp_path}"),
        (str(tmp_path / "x.npz"), f"for arrays in this file: --dataset npz:{tmp_path / 'x.npz'}"),
    ]:
        with pytest.raises(UserError, match="unknown dataset") as error:
            dataset_spec(given)
        assert str(error.value).endswith(hint)


def test_a_part_of_imagenet_hints_at_folder(tmp_path):
    (tmp_path / "train" / "n01440764").mkdir(parents=True)
    with pytest.raises(UserError, match="a part of ImageNet is read by --dataset folder"):
        read_imagenet(SourceRequest("ImageNet", tmp_path))


def test_labels_that_would_wrap_are_named(tmp_path):
    images = np.zeros((2, 4, 4), np.uint8)
    labels = np.array([0, 2**64 - 1], np.uint64)
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    with pytest.raises(UserError, match="train_labels holds the label 18446744073709551615"):
        read_npz(tmp_path / "x.npz")


def test_no_label_at_all_is_told_without_an_impossible_number():
    with pytest.raises(UserError, match="no training image has a label"):
        make_split(dataset_spec("folder"), ["a", "b"], False, 1, 1, trainable=[])


def test_a_large_picture_is_read_without_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "x.png").size == (4, 4)
        assert shorter_side(tmp_path / "x.png") == 4


def tree(root, names=("a", "b")):
    for name in names:
        (root / "train" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels(8, 8, 3)).save(root / "train" / name / f"{number}.png")
    Image.fromarray(pixels(8, 8, 3)).save(root / "train" / "loose.png")
    (root / "unlabeled").mkdir()
    Image.fromarray(pixels(8, 8, 3)).save(root / "unlabeled" / "x.png")
    return {"mode": "discover", "dataset": "folder", "data_dir": root, "batch_size": 2, "num_labeled_classes": 2}


def test_loose_images_are_said(tmp_path, capsys):
    NCDDataModule(**tree(tmp_path), num_unlabeled_classes=1).setup()
    assert f"passed over 1: {tmp_path / 'train' / 'loose.png'} (in no class folder)" in capsys.readouterr().out


def test_an_estimated_number_is_not_shown_as_none(tmp_path):
    datamodule = NCDDataModule(**tree(tmp_path), num_unlabeled_classes=None)
    datamodule.setup()
    assert datamodule.describe()[-1] == "classes   2 labelled (a, b), novel ones, estimated (names unknown)"


def test_a_known_class_with_the_name_of_a_cluster(tmp_path):
    datamodule = NCDDataModule(**tree(tmp_path, ("a", "novel-0")), num_unlabeled_classes=1)
    with pytest.raises(UserError, match="the known class 'novel-0' has the name of a discovered cluster; rename it"):
        datamodule.setup()


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(2, (2,), {2: 0.5}), "it is the only number that was tried: raise --max_unlabeled_classes"),
        (Estimate(3, (3,), {2: 0, 3: 1, 4: 0}), "of 2 to 4 no other comes near by this criterion"),
        (Estimate(4, (3, 4), {2: 0, 3: 1, 4: 1}), "nearly as good: 3; it is the largest number that was tried"),
        (Estimate(2, (2, 3), {2: 1, 3: 1, 4: 0}), "nearly as good: 3; it is the smallest number that was tried"),
        (Estimate(4, (2, 4, 5), {2: 1, 3: 0, 4: 1, 5: 1, 6: 0}), "nearly as good: 2, 5"),
    ],
)
def test_how_sure_an_estimate_is(estimate, words):
    assert estimate.certainty.startswith(words)


def test_no_cell_is_a_formula():
    cells = ["=1+1", "+a", "-a.png", "@x", "\tx", "-0.5", "+3", "", "a=b", "1e-3"]
    (row,) = csv.reader([files.csv_text(["x"], [cells]).split("\n", 1)[1]])
    assert row == ["'=1+1", "'+a", "'-a.png", "'@x", "'\tx", "-0.5", "+3", "", "a=b", "1e-3"]
    assert files.csv_text(["x"], [(-1, -0.5, None)]) == "x\n-1,-0.5,\n"


def test_metrics_of_an_older_evaluation_are_not_shown_again(tmp_path, capsys):
    trainer = SimpleNamespace(
        current_epoch=0, max_epochs=3, fast_dev_run=False, sanity_checking=False, num_training_batches=1
    )
    trainer.callback_metrics = {"loss": torch.tensor(1.0), "lab/test/acc": torch.tensor(0.5)}
    progress = Progress(tmp_path / "log.txt", seconds_between_lines=0)
    progress.on_train_start(trainer, None)
    for trainer.current_epoch in range(3):
        if trainer.current_epoch != 1:
            progress.on_validation_end(trainer, None)
        progress.on_train_epoch_end(trainer, None)
    assert ["lab/test/acc" in line for line in (tmp_path / "log.txt").read_text().splitlines()] == [True, False, True]
