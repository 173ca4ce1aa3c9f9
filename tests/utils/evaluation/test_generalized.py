"""All, Old and New from batches of logits, and what is left out where nobody knows the truth."""

import numpy as np
import pytest
import torch

from utils.evaluation.generalized import GeneralizedEvaluation
from utils.evaluation.metrics import contingency, known_and_novel_acc


def logits_for(outputs, classes=6):
    return torch.nn.functional.one_hot(torch.tensor(outputs), classes).float()


def test_batches_are_matched_together():
    rng = np.random.default_rng(0)
    truth, outputs = rng.integers(0, 6, 90), rng.integers(0, 6, 90)
    evaluation = GeneralizedEvaluation(num_labeled=4)
    for rows in np.array_split(np.arange(90), 4):
        evaluation.update("unlab/train", logits_for(outputs[rows]), torch.from_numpy(truth[rows]))
    known = truth < 4
    evaluation.update("lab/test", logits_for(outputs[known]), torch.from_numpy(truth[known]))
    evaluation.update("unlab/test", logits_for(outputs[~known]), torch.from_numpy(truth[~known]))
    metrics = evaluation.compute()
    expected = known_and_novel_acc(contingency(truth, outputs), 4)
    for part in ("all", "old", "new"):
        assert metrics[f"unlab/train/acc/{part}"] == metrics[f"test/acc/{part}"] == pytest.approx(expected[part])
    assert {f"{name}/{key}" for name in ("unlab/train", "test") for key in ("nmi", "ari")} < metrics.keys()
    assert evaluation.joint_table.tolist() == contingency(truth, outputs).tolist()


def test_without_truth_there_is_no_number():
    evaluation = GeneralizedEvaluation(num_labeled=2)
    evaluation.update("unlab/train", logits_for([0, 5, 2]), torch.full((3,), -1))
    assert evaluation.compute() == {}
    evaluation.update("lab/test", logits_for([0, 1, 1]), torch.tensor([0, 1, 0]))
    assert evaluation.compute()["test/acc/old"] == pytest.approx(2 / 3)
    assert "test/acc/new" not in evaluation.compute()
