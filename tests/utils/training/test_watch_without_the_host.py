"""The watch over non-finite steps as it runs on a GPU, where the host does not know: with real numbers, on the CPU."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.conftest import tiny_discovery, tiny_disentangling
from tests.test_nonfinite import Broken
from utils import torch_files
from utils.errors import NonFiniteError
from utils.methods.disentangler import Disentangler
from utils.training import nonfinite
from utils.training.epoch_means import EpochMeans
from utils.training.nonfinite import NAME, NonFinite

OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, fused=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1, fused=True),
}


@pytest.fixture
def without_host(monkeypatch):
    """The watch takes the CPU for a GPU."""
    monkeypatch.setattr(nonfinite, "_runs_on_host", lambda module: False)


class Memory(nn.Module):
    """Of the last row; as the methods with memories do, it puts a new tensor in the place of the old one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.zeros(4, 3))

    def forward(self, x):
        self.rows = torch.cat([self.rows[1:], x.detach()[:1]])
        return x + self.rows.mean(dim=0)


class Steps:
    """A few steps of a small network under the watch, as Lightning makes them; ``bad`` ones are not finite."""

    def __init__(self, optimizer, scaled, mode, folder):
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), Memory(), nn.Linear(3, 2))
        self.net.means, self.net.device = EpochMeans(), torch.device("cpu")
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        fit_loop = SimpleNamespace(batch_idx=0)
        self.net.lr = 0.1
        self.trainer = SimpleNamespace(
            scaler=self.scaler if scaled else None, optimizers=[self.optimizer], fit_loop=fit_loop, current_epoch=0
        )
        self.watch = NonFinite(folder, mode)
        self.watch.on_train_start(self.trainer, self.net)

    def make(self, step, bad=False):
        self.trainer.fit_loop.batch_idx = step
        images = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        self.watch.on_train_batch_start(self.trainer)
        loss = self.net(images * (torch.nan if bad else 1)).square().mean()
        self.net.means.update({"loss": loss})
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.watch.on_after_backward(self.trainer, self.net)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self

    def learnt(self):
        return copy.deepcopy([*self.net.parameters()])


@pytest.mark.parametrize("scaled", [False, True], ids=["unscaled", "scaled"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_is_learnt_from_the_first_bad_step_on(without_host, optimizer, scaled, tmp_path):
    steps = Steps(optimizer, scaled, "stop", tmp_path).make(0)
    before = steps.learnt()
    steps.make(1, bad=True).make(2).make(3)
    for now, then in zip(steps.learnt(), before, strict=True):
        assert torch.equal(now, then)
    assert bool(steps.watch.bad)
    assert int(steps.watch.step) == 1
    assert not scaled or float(steps.watch.scale) == 1024  # as it was, though every step since then has halved it


@pytest.mark.parametrize("scaled", [False, True], ids=["unscaled", "scaled"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bad", [0, 1])
def test_skip_leaves_out_that_step_alone(without_host, optimizer, scaled, bad, tmp_path):
    assert_that_step_alone_is_left_out(optimizer, scaled, bad, tmp_path)


@pytest.mark.parametrize("bad", [0, 1])
def test_so_it_does_where_the_host_looks(bad, tmp_path):
    assert_that_step_alone_is_left_out("SGD", False, bad, tmp_path)


def assert_that_step_alone_is_left_out(optimizer, scaled, bad, tmp_path):
    steps = Steps(optimizer, scaled, "skip", tmp_path)
    expected = Steps(optimizer, scaled, "skip", tmp_path)
    for step in range(3):
        steps.make(step, bad=step == bad)
        if step != bad:
            expected.make(step)
    for name, value in expected.net.state_dict().items():
        torch.testing.assert_close(steps.net.state_dict()[name], value, msg=name)


def test_a_run_stops_with_the_state_before_it(without_host, tmp_path):
    with pytest.raises(NonFiniteError, match="not finite in epoch 2, step 2: loss, intra_loss, gradient norm"):
        tiny_discovery(tmp_path, discoverer=Broken)
    saved = torch_files.load_torch(tmp_path / "logs" / "run" / NAME)
    assert all(value.isfinite().all() for value in saved["state_dict"].values())
    assert saved["nonfinite"]["step"] == 1


@pytest.mark.parametrize("on_host", [True, False])
def test_gradients_are_clipped_under_the_watch(on_host, monkeypatch, tmp_path):
    """Adam moves a weight by the learning rate whatever the gradient's size, unless that is below its epsilon."""
    monkeypatch.setattr(nonfinite, "_runs_on_host", lambda module: on_host)
    start = {}
    monkeypatch.setattr(Disentangler, "on_fit_start", lambda self: start.update(copy.deepcopy(self.state_dict())))
    flags = ["--use_gradnorm", "--max_norm", "1e-9", "--epochs", "1", "--learning_rate", "3e-3"]
    trainer = tiny_disentangling(tmp_path, *flags)
    assert trainer.optimizers[0].param_groups[0]["fused"]
    named = trainer.lightning_module.named_parameters()
    moved = max((value - start[name]).abs().max().item() for name, value in named)
    assert 0 < moved < 1e-3


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_clipping_sees_unscaled_gradients(scale):
    torch.manual_seed(0)
    module = Disentangler(width=8, image_size=8, feature_num=4, hidden_dim=8, use_gradnorm=True)
    optimizer = module.configure_optimizers()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    module._trainer = SimpleNamespace(scaler=scaler if scale else None)
    views = torch.rand(2, 6, 3, 8, 8).unbind()
    scaler.scale(module.compute_losses(module.model(views))["loss"]).backward()
    module.configure_gradient_clipping(optimizer, 1e-3)
    norm = torch.nn.utils.get_total_norm([value.grad for value in module.parameters()])
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    before = [value.detach().clone() for value in module.parameters()]
    scaler.step(optimizer)
    for now, then in zip(module.parameters(), before, strict=True):  # Adam's first step is the learning rate
        assert ((now - then).abs() <= 3.01e-4).all()
