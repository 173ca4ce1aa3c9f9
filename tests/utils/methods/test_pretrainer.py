"""Supervised pretraining: its objective by a loop, prototypes before every step, the logged accuracy and loss."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import read_table
from tests.utils.data.makers import normalized_digits
from tests.utils.methods.test_discoverer import SMALL
from utils.methods.pretrainer import Pretrainer

FLAGS = {name: SMALL[name] for name in ("dataset", "num_labeled_classes", "num_unlabeled_classes", "width")}


def test_a_step_is_the_cross_entropy_of_every_view_at_the_temperature():
    module = Pretrainer(**FLAGS, temperature=0.2).double().train()
    weight = module.model.head_lab.prototypes.weight
    with torch.no_grad():
        weight.mul_(3)
    views, labels = torch.rand(2, 5, 3, 16, 16, dtype=torch.float64).unbind(), torch.tensor([0, 3, 1, 1, 2])
    loss = module.training_step((views, labels), 0)
    torch.testing.assert_close(weight.norm(dim=1), torch.ones_like(weight[:, 0]))  # before the forward pass
    total = 0.0
    for view in views:  # in training mode the statistics are those of one view
        feats = F.normalize(module.model.encoder(view), dim=1)
        for row, label in zip(feats, labels, strict=True):
            logits = torch.stack([row @ prototype for prototype in weight]) / 0.2
            total = total - torch.log_softmax(logits, dim=0)[label]
    torch.testing.assert_close(loss, total / 10)
    assert module.means.compute(lambda values: values) == {"loss_supervised": pytest.approx(float(loss.detach()))}


def test_what_is_logged_is_the_accuracy_and_the_loss_without_temperature(tiny_run):
    """Of the known test images, by hand from the weights that the run left."""
    folder = tiny_run[2].parent / "logs" / "pretrain-resnet18-digits-tiny"
    module = Pretrainer.load_from_checkpoint(folder / "last.ckpt").eval()
    images, labels = normalized_digits("test", novel=False)
    labels = torch.from_numpy(labels)
    with torch.no_grad():
        logits = module.model(images)["logits_lab"]
    *_, row = read_table(folder / "metrics.csv")
    assert set(row) == {"epoch", "step", "loss_supervised", "val/acc", "val/loss_supervised", "lr"}
    assert float(row["val/acc"]) == pytest.approx((logits.argmax(dim=1) == labels).double().mean().item())
    assert float(row["val/loss_supervised"]) == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    at_temperature = F.cross_entropy(logits / 0.1, labels).item()
    assert float(row["val/loss_supervised"]) != pytest.approx(at_temperature, rel=0.01)
