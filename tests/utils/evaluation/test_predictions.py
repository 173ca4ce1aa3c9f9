"""Predictions batch by batch: what is not asked for does not stay in memory."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from utils.evaluation.predictions import predict


@pytest.mark.parametrize("keep", [True, False])
def test_features_that_are_not_kept_are_freed(keep):
    arrays, alive = [], []

    def outputs(images):
        alive.append(sum(array() is not None for array in arrays))
        features = np.ones((len(images), 4), np.float32)
        arrays.append(weakref.ref(features))
        cosines = torch.zeros(len(images), 2)
        return {"feats": torch.from_numpy(features), "logits_lab": cosines, "logits_unlab": cosines[None]}

    discoverer = SimpleNamespace(
        eval=lambda: None,
        predictions=outputs,
        model=SimpleNamespace(prototype_lengths=lambda head: torch.ones(4)),
        **{"device": "cpu", "best_head": 0, "hparams": {"temperature": 0.1}},
    )
    batches = [(torch.zeros(3, 1), torch.arange(3))] * 4
    found = predict(discoverer, batches, keep_features=keep)
    assert found.features.shape == (12, 4 if keep else 0)
    assert alive == ([0, 1, 2, 3] if keep else [0, 1, 1, 1])  # those of the batch before, at most
