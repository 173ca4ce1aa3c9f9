"""ComEx: the whole step, network included, its memory over two steps, and its predictions, against published ones."""

import pytest
import torch

from baselines import comex, uno_v1
from tests.baselines.networks import SMALL, build, load, require_gradients
from tests.utils.losses import published
from utils.losses.experts import masked_norm, neighbours_targets, sharpen

FILES = ["comex_0", "comex_1"]
OURS = {"base": "lab", "novel": "unlab"}  # names of banks
LOSSES = ("loss", "loss_cluster", "loss_overcluster", "loss_batch_cluster", "loss_batch_overcluster")


def our_name(name):
    """``head_batch_novel_over`` is ``head_batch_unlab_over`` here."""
    head, *rest = name.split(".")
    return ".".join(["_".join(OURS.get(word, word) for word in head.split("_")), *rest])


class Magic(comex.Discoverer):
    """The published flag --magic: UNO v1's softmax over samples in all four losses."""

    swapped_prediction = uno_v1.Discoverer.swapped_prediction


def module_of(numbers, monkeypatch, discoverer=comex.Discoverer):
    flags = {name: numbers[name].item() for name in ("batch_head", "queue_size", "queue_alpha", "sharp", "alpha")}
    module = build(
        discoverer,
        numbers,
        monkeypatch,
        numbers["step0/feats"],
        num_large_crops=int(numbers["num_views"]),
        factor_expert=float(numbers["batch_head_reg"]),
        **flags,
    )
    load(module, numbers, our_name)
    return module


@pytest.mark.parametrize("file", [*FILES, "comex_magic_0"])
def test_two_published_steps(golden, monkeypatch, file):
    numbers = published.load(golden(f"methods/{file}.npz"))
    module = module_of(numbers, monkeypatch, Magic if numbers["magic"] else comex.Discoverer)
    for step in ("step0/", "step1/"):
        feats, labels = numbers[f"{step}feats"].clone().requires_grad_(), numbers[f"{step}labels"]
        outputs = module.model(feats.unbind())
        for value in outputs.values():
            value.retain_grad()
        losses = module.compute_losses(outputs, labels)
        module.zero_grad()
        losses["loss"].backward()
        for name in LOSSES if module.experts else LOSSES[:3]:
            torch.testing.assert_close(losses[name].detach(), numbers[f"{step}{name}"], **published.EXACT)
        if module.experts:
            names = ("loss_batch_base_reg", "loss_batch_novel_reg", "loss_batch_novel_over_reg")
            expected = sum(numbers[f"{step}{name}"] for name in names) / 3
            torch.testing.assert_close(losses["expert_loss"].detach(), expected, **published.EXACT)
        for name, value in outputs.items():
            key = "_".join({"lab": "base", "unlab": "novel"}.get(word, word) for word in name.split("_"))
            if f"{step}{key}" in numbers:
                torch.testing.assert_close(value.detach(), numbers[f"{step}{key}"], **published.EXACT)
            if f"{step}grad/{key}" in numbers:
                torch.testing.assert_close(value.grad, numbers[f"{step}grad/{key}"], **published.EXACT)
        torch.testing.assert_close(feats.grad, numbers[f"{step}grad/feats"], **published.EXACT)
        require_gradients(module, numbers, step, our_name, **published.EXACT)
        for name in ("", "_over"):
            for ours, theirs in (
                (f"memory{name}", f"queue_feats{name}"),
                (f"memory_targets{name}", f"queue_targets{name}"),
            ):
                found, expected = getattr(module, ours), numbers[f"{step}after/{theirs}"]
                assert_same_rows(found, expected)


def assert_same_rows(found, expected):
    """Equal as sets of rows: where a step wraps round, the published code stores its rows in another order."""
    for ours, theirs in zip(found.flatten(0, 1), expected.flatten(0, 1), strict=True):
        distances = torch.cdist(ours, theirs)
        assert distances.min(dim=0).values.max() < 1e-9
        assert distances.min(dim=1).values.max() < 1e-9


@pytest.mark.parametrize("file", FILES)
def test_published_predictions(golden, monkeypatch, file):
    numbers = published.load(golden(f"methods/{file}.npz"))
    if "eval/logits_novel" not in numbers:
        pytest.skip("the file has no evaluation")
    module = module_of(numbers, monkeypatch)
    outputs = {
        f"logits_{ours}": numbers[f"eval/logits_{theirs}"]
        for theirs, ours in (
            ("base", "lab"),
            ("novel", "unlab"),
            ("batch_base", "batch_lab"),
            ("batch_novel", "batch_unlab"),
        )
        if f"eval/logits_{theirs}" in numbers
    }
    module.best_head.copy_(numbers["eval/loss_per_head"].argmin())
    if module.experts:
        module.batch_loss_per_head.copy_(numbers["eval/loss_per_batch_head"])
    monkeypatch.setattr(module.model, "forward", lambda images: outputs)
    found = module.predictions(torch.zeros(()))
    assert torch.equal(found["logits_unlab"].argmax(dim=-1), numbers["eval/novel/preds"])
    assert torch.equal(found["logits_lab"].argmax(dim=-1), numbers["eval/base/preds"])


def test_the_best_heads_are_together_and_every_batch_head_is_used_once():
    module = comex.Discoverer(**SMALL, num_heads=4)
    for best in range(4):
        for best_batch in range(4):
            module.best_head.fill_(best)
            module.batch_loss_per_head.copy_(torch.arange(4) != best_batch)
            order = module.batch_heads().tolist()
            assert order[best] == best_batch
            assert sorted(order) == [0, 1, 2, 3]
            assert sum(place != head for place, head in enumerate(order)) in (0, 2)


def test_the_best_heads_are_those_of_all_processes():
    class OfTwo(comex.Discoverer):
        choosing = True

        def over_processes(self, losses):  # the second process has other losses
            return losses + torch.tensor([0.0, 3.0, 0.0])

    module = OfTwo(**SMALL, num_heads=3)
    module.loss_per_head.copy_(torch.tensor([2.0, 1.0, 3.0]))
    module.batch_loss_per_head.copy_(torch.tensor([3.0, 1.0, 2.0]))
    module.on_validation_epoch_start()
    assert int(module.best_head) == 0
    assert module.batch_heads().tolist() == [2, 1, 0]


def test_losses_equal_the_loops():
    z, memory = (torch.nn.functional.normalize(torch.randn(n, 3, dtype=torch.float64), dim=1) for n in (4, 5))
    own, theirs = (torch.softmax(torch.randn(n, 2, dtype=torch.float64), dim=1) for n in (4, 5))
    found = sharpen(neighbours_targets(z, own, memory, theirs, 0.3, 0.1), 0.5)
    for row, target, value in zip(z, own, found, strict=True):
        weights = torch.softmax(torch.stack([row @ m for m in memory]) / 0.1, 0)
        mixed = 0.3 * target + 0.7 * sum(w * t for w, t in zip(weights, theirs, strict=True))
        torch.testing.assert_close(value, mixed**2 / (mixed**2).sum())
    theirs[3] = -1
    assert torch.equal(neighbours_targets(z, own, memory, theirs, 0.3, 0.1), own)
    rows = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    torch.testing.assert_close(masked_norm(z, rows), z[[0, 2]].norm())
