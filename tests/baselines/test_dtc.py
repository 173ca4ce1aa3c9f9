"""DTC: the objective and the targets against the published ones; the rows of a batch; what a checkpoint keeps."""

import pytest
import torch

from baselines import dtc
from tests.baselines.networks import SMALL
from tests.conftest import tiny_discovery
from tests.utils.losses import published
from utils.losses import target_distribution
from utils.losses.semi_supervised import rampup
from utils.methods.whole_data import pca


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("variant", ["pi", "baseline"])
def test_published_objective(golden, number, variant):
    numbers = published.load(golden(f"methods/dtc_{number}.npz"))
    clusters, length = int(numbers["n_clusters"]), float(numbers["rampup_length"])
    flags = {"num_labeled_classes": 3, "num_unlabeled_classes": clusters, "dataset": "CIFAR100", "width": 8}
    coefficient = float(numbers["rampup_coefficient"])
    module = dtc.Discoverer(**flags, rampup_coefficient=coefficient, dtc="PI" if variant == "pi" else "TEP").double()
    module.ramp.fill_(rampup(int(numbers["step/epoch"]), length))
    inputs = {name: numbers[f"step/{name}"].clone().requires_grad_() for name in ("feat", "feat_bar")}
    module.model.head_unlab.centers.data = numbers["center"]
    inputs["center"] = module.model.head_unlab.centers
    outputs = {
        "projected": torch.stack([inputs["feat"], inputs["feat_bar"]]),
        "targets": numbers["p_targets"][numbers["step/idx"]],
    }
    losses = module.compute_losses(outputs, torch.full((len(numbers["step/idx"]),), -1))
    published.require_equal(losses["loss"], numbers, "loss", inputs, f"{variant}/")


def test_logits_are_assignments():
    module = dtc.Discoverer(**SMALL).eval()
    outputs = module.model(torch.randn(4, 3, 12, 12))
    probs = torch.softmax(outputs["logits_unlab"][0] / 0.1, dim=-1)
    distances = torch.cdist(outputs["projected"], module.model.head_unlab.centers).square()
    expected = 1 / (1 + distances)
    torch.testing.assert_close(probs, expected / expected.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_every_row_meets_its_own_target(tmp_path):
    """The targets of a step are those of its images, whatever the order of the epoch."""

    class Watching(dtc.Discoverer):
        def outputs(self, views, labels):
            outputs = super().outputs(views, labels)
            loader, step = self.trainer.train_dataloader, self.trainer.fit_loop.epoch_loop.batch_idx
            rows = loader.batch_rows(self.current_epoch, step)
            assert torch.equal(loader.labels[rows], labels)
            assert torch.equal(outputs["targets"], self.row_targets[rows])
            assert torch.equal(outputs["targets"].sum(dim=1) > 0, labels < 0)
            seen.append(self.row_targets)
            return outputs

    seen = []
    flags = ["--num_heads", "1", "--warmup_targets", "1", "--update_interval", "1"]
    tiny_discovery(tmp_path, *flags, discoverer=Watching)
    assert torch.equal(seen[0], seen[2])  # the warm-up
    assert not torch.equal(seen[0], seen[3])


@pytest.mark.parametrize("labels", [[0, 1, 4], [-1, -1, -1]])
def test_batches_of_one_kind_are_finite(labels):
    module = dtc.Discoverer(**SMALL)
    outputs = module.model([torch.randn(3, 3, 12, 12) for _ in range(2)])
    outputs["targets"] = target_distribution(torch.softmax(torch.randn(3, 5), dim=1))
    losses = module.compute_losses(outputs, torch.tensor(labels))
    losses["loss"].backward()
    assert all(value.isfinite().all() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    assert (losses["loss"] == 0) == (labels[0] == 0)


def test_pca_keeps_the_distances_of_points_in_a_plane():
    points = torch.randn(20, 2) @ torch.randn(2, 7)
    torch.testing.assert_close(
        torch.cdist(pca(points, 2), pca(points, 2)), torch.cdist(points, points), atol=1e-4, rtol=1e-4
    )
    assert pca(points[:3], 5).shape == (3, 5)
