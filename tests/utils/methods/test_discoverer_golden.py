"""The objective of all five mains against the numbers of the published code, gradients included."""

import pytest
import torch

from tests import published_objectives
from tests.utils.losses import published


@pytest.mark.parametrize("file", [0, 1, 2])
@pytest.mark.parametrize("main", published_objectives.MAINS)
def test_losses_and_gradients(golden, main, file):
    numbers = published.load(golden(f"discover_{file}.npz"))
    close = 1e-5 if numbers["logits_lab"].dtype == torch.float32 else 1e-10
    for name, value, expected in published_objectives.discovery(main, numbers):
        torch.testing.assert_close(value, expected, rtol=close, atol=close, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("file", [0, 1, 2])
def test_sinkhorn_assignments(golden, file):
    numbers = published.load(golden(f"discover_{file}.npz"))
    module = published_objectives.discoverer_of("uno", numbers)
    unlabelled = numbers["labels"] >= int(numbers["num_labeled"])
    large = int(numbers["num_large_crops"])
    single = numbers["logits_lab"].dtype == torch.float32
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if single else {"rtol": 1e-10, "atol": 1e-12}
    for logits, expected in (("logits_unlab", "sinkhorn"), ("logits_unlab_over", "sinkhorn_over")):
        result = module.sinkhorn(numbers[logits][:large], unlabelled)
        torch.testing.assert_close(result[:, :, unlabelled], numbers[expected], **tolerance)
