"""The plain implementation that ours is timed against computes the same thing, in one step and over a whole run."""

import sys
from copy import deepcopy

import numpy as np
import pytest
import torch

from main_discover_inter_intra import Discoverer
from tests.conftest import ROOT, tiny_discovery
from utils.nets import MultiHeadResNet

SIZES = {"num_labeled_classes": 3, "num_unlabeled_classes": 2, "num_heads": 2, "overcluster_factor": 2}


@pytest.fixture(scope="module")
def plain():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import plain

    yield plain
    sys.path.remove(str(ROOT / "benchmarks"))


def test_the_plain_loss_is_ours(plain):
    torch.manual_seed(0)
    module = Discoverer(dataset="CIFAR10", hidden_dim=16, proj_dim=8, multicrop=True, **SIZES).double()
    net = plain.PlainNet(3, 2, 2, 2, 16, 8).double()
    net.load_state_dict(plain.plain_names(module.model.state_dict()))
    views = [torch.randn(6, 3, size, size, dtype=torch.float64) for size in (16, 16, 9, 9)]
    labels = torch.tensor([0, -1, 2, -1, 1, -1])
    ours = module.train().compute_losses(module.model(views), labels)["loss"]
    theirs = plain.plain_loss(net.train(), views, labels)
    torch.testing.assert_close(theirs, ours)
    ours.backward()
    theirs.backward()
    for name, parameter in module.model.encoder.named_parameters():
        torch.testing.assert_close(dict(net.encoder.named_parameters())[name].grad, parameter.grad)


class Recorded(Discoverer):
    """In float64; keeps its first weights, and the views, labels and learning rate of every step."""

    def __init__(self, **flags):
        super().__init__(**flags)
        self.double()
        self.start, self.batches = deepcopy(self.model.state_dict()), []

    def outputs(self, views, labels):
        views = [view.double() for view in views]
        self.batches.append((views, labels.clone(), self.optimizers().param_groups[0]["lr"]))
        return super().outputs(views, labels)

    def predictions(self, images):
        return super().predictions(images.double())


def test_a_whole_run_ends_with_the_weights_of_the_plain_loop(plain, tmp_path):
    """Two epochs of the command: heads, BatchNorm by view, weight decay, momentum, learning rate, prototypes."""
    model = ["--width", "64", "--num_heads", "2", "--overcluster_factor", "2", "--multicrop"]
    losses = ["--epsilon_sk", "0.05", "--factor_inter", "0.05", "--factor_intra", "0.01"]
    rates = ["--base_lr", "0.1", "--min_lr", "0.01", "--warmup_epochs", "2", "--max_epochs", "2", "--batch_size", "16"]
    rates += ["--check_val_every_n_epoch", "2", "--num_sanity_val_steps", "0"]
    rates += ["--limit_val_batches", "1", "--eval_batch_size", "16"]  # whose numbers are not looked at
    ours = tiny_discovery(tmp_path, *model, *losses, *rates, discoverer=Recorded).lightning_module
    assert [rate for *_, rate in ours.batches] == pytest.approx([0.01] * 3 + [0.1] * 3)

    net = plain.PlainNet(5, 5, 2, 2, 16, 8).double().train()
    start, trained = plain.plain_names(ours.start), plain.plain_names(ours.model.state_dict())
    net.load_state_dict(start)
    decay = ours.hparams["weight_decay_opt"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
    for views, labels, rate in ours.batches:
        optimizer.param_groups[0]["lr"] = rate
        plain.plain_step(net, optimizer, views, labels.where(labels < 5, -1))
    for name, expected in net.state_dict().items():
        assert not torch.equal(trained[name], start[name]), f"{name} was not trained"
        torch.testing.assert_close(
            trained[name], expected, rtol=1e-7, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}"
        )


def some_cifar(folder):
    """Twenty random images of ten classes in both halves of ``folder``/cifar10.npz."""
    labels = np.arange(20) % 10
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    halves = {f"{half}_{kind}": x for half in ("train", "test") for kind, x in (("images", images), ("labels", labels))}
    np.savez(folder / "cifar10.npz", **halves)


def test_the_law_of_views_is_compared_statistic_by_statistic(plain, tmp_path):
    import view_law

    some_cifar(tmp_path)
    tables = view_law.main(["--data_dir", str(tmp_path), "--rounds", "4", "--device", "cpu"])
    assert list(tables) == ["large", "small"]
    for rows in tables.values():
        assert len(rows) == 8
        for row in rows:  # of 20 random images little can be said, but they are views of the same ones
            assert abs(row["here"] - row["PIL"]) < 0.3
            assert np.isfinite(row["z"])


@pytest.mark.slow
def test_a_killed_plain_run_goes_on_where_it_was(plain, tmp_path, monkeypatch):
    import plain_run

    some_cifar(tmp_path)
    weights = MultiHeadResNet("resnet18", True, 5, 5, num_heads=None).state_dict()
    torch.save(weights, tmp_path / "pretrained.cp")
    net = plain_run.network(str(tmp_path / "pretrained.cp"))
    assert torch.equal(net.state_dict()["encoder.conv1.weight"], weights["encoder.conv1.weight"])
    assert torch.equal(net.head_lab.weight, weights["head_lab.prototypes.weight"])

    words = [str(tmp_path / "pretrained.cp"), "--data_dir", str(tmp_path), "--batch_size", "20", "--epochs", "2"]
    whole = plain_run.main(words)
    assert [line.split("  ")[0] for line in whole] == ["epoch 1/2", "epoch 2/2"]
    words += ["--state", str(tmp_path / "state.pt")]
    evaluate = plain_run.evaluate
    with monkeypatch.context() as patch:
        lines = iter([evaluate])
        patch.setattr(plain_run, "evaluate", lambda *args: next(lines)(*args))  # the second epoch has none
        with pytest.raises(StopIteration):
            plain_run.main(words)
    assert plain_run.main(words) == whole
