"""Ramp, masked cross-entropy and consistency of views: AutoNovel's published numbers, closed forms."""

import pytest
import torch

from tests.utils.losses import published
from utils.losses.semi_supervised import consistency, labeled_cross_entropy, rampup


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("prefix", ["", "il/"])
def test_published_numbers(golden, number, prefix):
    numbers = published.load(golden(f"methods/autonovel_{number}.npz"))
    names = [f"{prefix}output1", f"{prefix}output1_bar", "output2", "output2_bar"]
    tensors = published.leaves(numbers, *names)
    inputs = {name.removeprefix(prefix): value for name, value in tensors.items()}
    mask, labels = numbers["mask_lb"], numbers["label"]
    length, epoch = float(numbers["rampup_length"]), int(numbers["epoch"])
    found = torch.tensor([rampup(float(e), length) for e in numbers["epochs"]], dtype=torch.float64)
    torch.testing.assert_close(found, numbers["rampup"], **published.EXACT)
    weight = float(numbers["rampup_coefficient"]) * rampup(epoch, length)
    assert weight == pytest.approx(numbers["w"].item(), rel=1e-12)

    entropy = labeled_cross_entropy(inputs["output1"], labels, mask)
    published.require_equal(entropy, numbers, "loss_ce", inputs, prefix)
    p = {name: torch.softmax(value, dim=1) for name, value in inputs.items()}
    agreement = consistency(p["output1"], p["output1_bar"]) + consistency(p["output2"], p["output2_bar"])
    published.require_equal(agreement, numbers, "consistency_loss", inputs, prefix)
    if prefix:
        guess = int(numbers["num_labeled_classes"]) + inputs["output2"].argmax(dim=1)
        added = labeled_cross_entropy(inputs["output1"], guess, ~mask)
        added = added * float(numbers["increment_coefficient"]) * rampup(epoch, length)
        published.require_equal(added, numbers, "loss_ce_add", inputs, prefix)


def test_masked_rows_are_left_out():
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels, mask = torch.tensor([0, 3, -1, 9, 2, 1]), torch.tensor([True, True, False, False, True, True])
    expected = torch.nn.functional.cross_entropy(logits[mask] / 0.1, labels[mask])
    torch.testing.assert_close(labeled_cross_entropy(logits, labels, mask, 0.1), expected)
    p, q = torch.softmax(logits, 1), torch.softmax(-logits, 1)
    torch.testing.assert_close(consistency(p, q, mask), consistency(p[mask], q[mask]))
    assert consistency(p, p) == 0


def test_no_row_gives_zero():
    logits, nothing = torch.randn(3, 4, requires_grad=True), torch.zeros(3, dtype=torch.bool)
    value = labeled_cross_entropy(logits, torch.full((3,), -1), nothing)
    value = value + consistency(torch.softmax(logits, 1), torch.softmax(2 * logits, 1), nothing)
    assert value == 0
    value.backward()
    assert not logits.grad.any()


def test_without_a_ramp_the_weight_is_whole_at_once():
    assert rampup(0, 0) == rampup(7, 5) == 1
