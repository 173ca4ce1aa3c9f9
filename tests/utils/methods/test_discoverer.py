"""The objective as a module: targets, batches of one kind, masks, no host synchronisation."""

from copy import deepcopy

import pytest
import torch

from main_discover_inter_intra import Discoverer
from main_discover_mse import Discoverer as MSEDiscoverer
from tests.no_waiting import NoWaiting
from utils.data.loaders import ViewLoader
from utils.data.specs import dataset_spec
from utils.errors import UserError
from utils.experiment import compile_step
from utils.methods.discoverer import Discoverer as Baseline
from utils.transforms import augment
from utils.transforms.pipeline import ViewPipeline

SMALL = {
    "dataset": "CIFAR10",
    "num_labeled_classes": 4,
    "num_unlabeled_classes": 3,
    "num_heads": 2,
    "width": 8,
    "hidden_dim": 16,
    "proj_dim": 8,
    "overcluster_factor": 2,
    "multicrop": True,
}


def outputs(batch_size, num_views=4):
    generator = torch.Generator().manual_seed(0)
    shapes = {"logits_lab": (4,), "logits_unlab": (3,), "logits_unlab_over": (6,)}
    return {
        name: (torch.rand(num_views, *([2] if "un" in name else []), batch_size, *columns, generator=generator) * 2 - 1)
        .double()
        .requires_grad_()
        for name, columns in shapes.items()
    }


def test_targets_are_labels_and_assignments():
    module = Baseline(**SMALL)
    logits = outputs(6)["logits_unlab"].detach()[:2]
    labels = torch.tensor([2, -1, 0, 5, 3, 4])
    targets = module.targets(logits, labels, (labels >= 0) & (labels < 4))
    assert targets.shape == (2, 2, 6, 7)
    torch.testing.assert_close(targets.sum(dim=-1), torch.ones(2, 2, 6, dtype=torch.float64))
    assert (targets[:, :, 0] == torch.eye(7, dtype=torch.float64)[2]).all()
    assert (targets[:, :, [1, 3, 5], :4] == 0).all()  # unlabelled rows: -1, and the truths of novel classes
    alone = module.sinkhorn(logits[:, :, [1, 3, 5]])
    torch.testing.assert_close(targets[:, :, [1, 3, 5], 4:], alone)


def test_any_label_outside_the_known_means_unlabelled():
    module = Discoverer(**SMALL)
    given = outputs(6)
    first = module.compute_losses(given, torch.tensor([0, 3, -1, -1, -1, 1]))
    second = module.compute_losses(given, torch.tensor([0, 3, 4, 6, 99, 1]))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-1] * 4, [0], [-1]])
def test_batches_of_one_kind_or_one_sample_are_finite(labels):
    module = Discoverer(**SMALL)
    given = outputs(len(labels))
    losses = module.compute_losses(given, torch.tensor(labels))
    assert losses["inter_loss"] == 0
    losses["loss"].backward()
    assert all(value.isfinite().all() for value in losses.values())
    assert all(value.grad.isfinite().all() for value in given.values())


def test_labelled_rows_alone_give_plain_cross_entropy():
    module = Baseline(**SMALL)
    given, labels = outputs(5), torch.tensor([0, 1, 2, 3, 0])
    logits = torch.cat([given["logits_lab"][:, None].expand(-1, 2, -1, -1), given["logits_unlab"]], dim=-1) / 0.1
    # every view is predicted from the same label by the other large views: large view 1 once, small views twice
    weights = torch.tensor([1, 1, 2, 2], dtype=torch.float64) / 6
    expected = torch.stack(
        [
            sum(w * torch.nn.functional.cross_entropy(logits[v, head], labels) for v, w in enumerate(weights))
            for head in range(2)
        ]
    )
    torch.testing.assert_close(module.compute_losses(given, labels)["loss_per_head"], expected)


def test_factors_weigh_the_constraints():
    given, labels = outputs(6), torch.tensor([0, 1, 2, -1, -1, -1])
    base = Baseline(**SMALL).compute_losses(given, labels)
    full = Discoverer(**SMALL, factor_inter=0.5, factor_intra=2.0).compute_losses(given, labels)
    torch.testing.assert_close(full["loss"], base["loss"] + 0.5 * full["inter_loss"] + 2.0 * full["intra_loss"])
    mse = MSEDiscoverer(**SMALL).compute_losses(given, labels)
    torch.testing.assert_close(mse["loss"], base["loss"] + 0.01 * mse["mse_loss"])


def test_one_head():
    module = Discoverer(**SMALL | {"num_heads": 1})
    given = {name: value[:, :1] if value.dim() == 4 else value for name, value in outputs(6).items()}
    losses = module.compute_losses(given, torch.tensor([0, 1, -1, -1, 2, 3]))
    assert losses["loss_per_head"].shape == (1,)
    torch.testing.assert_close(losses["loss_per_head"][0], losses["loss_cluster"].detach())


def test_unknown_setting():
    with pytest.raises(UserError, match="did you mean 'num_heads'"):
        Discoverer(**SMALL, num_haeds=3)


@pytest.mark.parametrize("discoverer", [Baseline, Discoverer, MSEDiscoverer])
def test_a_step_never_waits_for_the_device(discoverer, monkeypatch):
    monkeypatch.setattr(augment, "DRAWN_ALONE", ())  # views as they are made on a device that could wait
    module = discoverer(**SMALL).train()
    optimizer = module.configure_optimizers()[0][0]
    spec = dataset_spec("CIFAR10")
    pipeline = ViewPipeline([spec.large] * 2 + [spec.small] * 2, spec.mean, spec.std)
    images, labels = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8), torch.tensor([0, 1, -1, -1, 2, -1])
    batches = iter(ViewLoader(images, labels, pipeline, batch_size=6, seed=0))
    with NoWaiting():
        module.training_step(next(batches), 0).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_network_and_objective_compile_whole():
    """One graph each, without a break, under the same names and with the same numbers."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    module = Discoverer(**SMALL).train()
    compiled = deepcopy(module)
    compile_step(compiled, backend)
    views, labels = [torch.rand(6, 3, size, size) for size in (16, 16, 9, 9)], torch.tensor([0, 1, -1, -1, 2, -1])
    expected, losses = (each.compute_losses(each.model(views), labels) for each in (module, compiled))
    assert len(graphs) == 2
    torch.testing.assert_close(dict(losses), dict(expected))
    assert all(map(torch.equal, module.buffers(), compiled.buffers()))
    assert compiled.state_dict().keys() == module.state_dict().keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_never_waits_for_the_gpu():
    module = Discoverer(**SMALL).cuda().train()
    optimizer = module.configure_optimizers()[0][0]
    batch = [torch.rand(6, 3, 16, 16, device="cuda") for _ in range(4)], torch.tensor([0, 1, -1, -1, 2, -1]).cuda()
    for _ in range(2):
        torch.cuda.set_sync_debug_mode("default" if _ == 0 else "error")
        module.training_step(batch, 0).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.set_sync_debug_mode("default")
