"""Numbers that go wrong: losses stay finite where they can; where not, one message, and nothing is learnt from it."""

import signal

import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import read_table, tiny_discovery
from tests.test_stopping import stopping
from utils import torch_files
from utils.errors import NonFiniteError
from utils.training.epoch_means import EpochMeans
from utils.training.nonfinite import NAME

SETTINGS = {"dataset": "CIFAR10", "num_labeled_classes": 4, "num_unlabeled_classes": 3, "num_heads": 2, "width": 8}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("labels", [[0, -1, 3, -1, 2], [1, 1, 1], [-1, -1, -1], [0, -1]], ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_losses_are_finite_for_extreme_logits(dtype, labels, scale):
    generator = torch.Generator().manual_seed(0)
    shapes = {"logits_lab": (2, len(labels), 4), "logits_unlab": (2, 2, len(labels), 3)}
    shapes["logits_unlab_over"] = (2, 2, len(labels), 9)
    outputs = {
        name: ((torch.rand(shape, generator=generator) * 2 - 1).sign() * scale).to(dtype).requires_grad_()
        for name, shape in shapes.items()
    }
    losses = Discoverer(**SETTINGS).compute_losses(outputs, torch.tensor(labels))
    losses["loss"].backward()
    assert all(value.isfinite().all() for value in losses.values())
    assert all(value.grad.isfinite().all() for value in outputs.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_of_any_size_are_normalised(dtype):
    module = Discoverer(**SETTINGS, hidden_dim=16, proj_dim=8).train()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        outputs = module.model([torch.rand(2, 3, 16, 16) * 1e4 for _ in range(2)])
        losses = module.compute_losses(outputs, torch.tensor([0, -1]))
    losses["loss"].backward()
    assert all(value.isfinite().all() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


class Broken(Discoverer):
    """One term of one step is not a number."""

    def compute_losses(self, outputs, labels):
        losses = super().compute_losses(outputs, labels)
        if self.current_epoch == 1 and self.trainer.fit_loop.batch_idx == 1:
            losses["intra_loss"] = losses["intra_loss"] * float("nan")
            losses["loss"] = losses["loss"] + losses["intra_loss"]
        return losses


def test_stop_says_what_and_keeps_the_state_before(tmp_path):
    with pytest.raises(NonFiniteError) as error:
        tiny_discovery(tmp_path, discoverer=Broken)
    assert error.value.exit_code == 3
    message = str(error.value)
    assert "not finite in epoch 2, step 2: loss, intra_loss, gradient norm (loss nan, loss_cluster" in message
    assert "learning rate 0." in message
    assert "\n" not in message
    saved = torch_files.load_torch(tmp_path / "logs" / "run" / NAME)
    assert saved["nonfinite"]["values"].keys() >= {"loss", "intra_loss", "gradient norm"}
    assert len(set(saved["nonfinite"]["indices"])) == 64

    # a run without the fault, stopped after the step before
    with pytest.raises(SystemExit):
        tiny_discovery(tmp_path, discoverer=stopping("training_step", 1, signal.SIGTERM, place=0), name="before")
    before = torch_files.load_torch(tmp_path / "logs" / "before" / "last.ckpt")
    for name, value in before["state_dict"].items():  # prototypes are normalised before they are used
        expected = torch.nn.functional.normalize(value, dim=1) if name.endswith("prototypes.weight") else value
        torch.testing.assert_close(saved["state_dict"][name], expected, msg=name)
    assert saved["optimizer_states"][0]["state"].keys() == before["optimizer_states"][0]["state"].keys()
    for number, state in before["optimizer_states"][0]["state"].items():
        other = saved["optimizer_states"][0]["state"][number]["momentum_buffer"]
        assert torch.equal(other, state["momentum_buffer"])

    tiny_discovery(tmp_path, "--resume_from_checkpoint", str(tmp_path / "logs" / "run" / NAME))
    assert [row["epoch"] for row in read_table(tmp_path / "logs" / "run" / "metrics.csv")] == ["0", "1", "2"]


def test_skip_leaves_the_step_out(tmp_path, capsys):
    trainer = tiny_discovery(tmp_path, "--on_nonfinite", "skip", discoverer=Broken)
    assert "warning: not finite in epoch 2, step 2: loss, intra_loss, gradient norm" in capsys.readouterr().out
    state = trainer.lightning_module.state_dict()
    assert all(value.isfinite().all() for value in state.values())
    assert all(float(row["intra_loss"]) >= 0 for row in read_table(tmp_path / "logs" / "run" / "metrics.csv"))


def test_means_leave_out_what_is_not_finite():
    means = EpochMeans()
    for value in (1.0, float("inf"), 3.0):
        means.update({"loss": torch.tensor(value), "other": torch.tensor(value + 1)})
    again = EpochMeans()
    again.load_state(means.state())
    for each in (means, again):
        assert each.compute(lambda values: values) == {"loss": 2.0, "other": 3.0}
        assert each.compute(lambda values: values) == {}


def test_means_over_processes_count_the_steps_of_each():
    sums = []
    for values in ([1.0, 1.0, 1.0], [5.0, float("nan"), float("nan")]):  # the second has left two out
        means = EpochMeans()
        for value in values:
            means.update({"loss": torch.tensor(value)})
        found = means.compute(lambda vector: sums.append(vector) or sum(sums))
    assert found == {"loss": 2.0}
