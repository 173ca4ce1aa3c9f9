"""How to use a trained model: the script and the notebook run from top to bottom."""

import json
import os
import re
import runpy

import numpy as np
import pytest

from tests.conftest import ROOT
from utils import cli
from utils.errors import UserError
from utils.evaluation.downstream import linear_probe, nearest_neighbours, split_rows


def test_classifiers_learn_what_can_be_told_apart():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    vectors = 5 * np.eye(3)[labels] + rng.normal(size=(90, 3))
    parts = vectors[:60], labels[:60], vectors[60:], labels[60:]
    assert linear_probe(*parts) > 0.95
    assert nearest_neighbours(*parts) > 0.95
    noise = rng.permutation(labels)
    assert linear_probe(vectors[:60], noise[:60], vectors[60:], noise[60:]) < 0.7


def test_rows_of_the_dataset_s_own_parts_or_a_fifth():
    labels = np.array([0, 1, -1, 1, 0, 1])
    train, test = split_rows(labels, num_train=4)
    assert (train.tolist(), test.tolist()) == ([0, 1, 3], [4, 5])
    train, test = split_rows(np.arange(20) % 2, num_train=20)
    assert (len(train), len(test)) == (16, 4)
    assert not set(train) & set(test)
    with pytest.raises(UserError, match="two classes"):
        split_rows(np.zeros(20, np.int64), num_train=10)


def test_the_notebook_and_the_script(tmp_path, capsys):
    cells = json.loads((ROOT / "scripts" / "downstream.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    models = str(tmp_path / "models")
    code = code.replace("EPOCHS = 10", "EPOCHS = 1").replace('f"models/', f'f"{models}/')
    where = f'"--model_dir", "{models}", "--log_dir", "{tmp_path}"'
    code = code.replace('"--no-tsne"]', f'"--no-tsne", {where}]').replace("plot_panels(outputs, labels,", "print(")
    space: dict = {}
    directory = os.getcwd()
    try:
        exec(code, space)
    finally:
        os.chdir(directory)
    assert set(space["accuracies"]) == {"linear probe", "nearest neighbours"}
    assert space["accuracies"]["nearest neighbours"] > 0.5

    words = ["--dataset", "digits", "--model", f"{models}/digits/model_epoch_1.pth"]
    runpy.run_path(str(ROOT / "scripts" / "downstream.py"))["main"](cli.parse("cluster", words))
    printed = capsys.readouterr().out
    assert "1,442 training and 355 test images" in printed
    row = re.search(r"^backbone +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    expected = [space["accuracies"][name] for name in ("linear probe", "nearest neighbours")]
    assert [float(value) for value in row.groups()] == pytest.approx(expected, abs=6e-4)
