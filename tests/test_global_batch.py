"""Two processes with half a batch each compute what one computes with the whole."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from main_discover_inter_intra import Discoverer
from main_discover_mse import Discoverer as MSEDiscoverer
from tests.conftest import free_port
from utils.losses import SinkhornKnopp
from utils.nets.batch_norm import ViewSyncBatchNorm

SETTINGS = {"dataset": "CIFAR10", "num_labeled_classes": 4, "num_unlabeled_classes": 3, "num_heads": 2, "width": 8}
SETTINGS |= {"hidden_dim": 16, "proj_dim": 8, "overcluster_factor": 2, "global_sinkhorn": True}
LABELS = {  # of the whole batch; the second process has no labelled row, then no unlabelled one
    "mixed": [0, -1, 2, -1, 3, -1, -1, 1],
    "one kind each": [0, 1, 2, 3, -1, -1, -1, -1],
    "uneven": [0, -1, -1, -1, 1, 2, 3, -1],
}


class Step(torch.nn.Module):
    """Forward pass and objective, for DDP to wrap."""

    def __init__(self, discoverer):
        super().__init__()
        self.discoverer = discoverer
        ignored = discoverer._ddp_params_and_buffers_to_ignore
        self._ddp_params_and_buffers_to_ignore = [f"discoverer.{name}" for name in ignored]

    def forward(self, views, labels):
        return self.discoverer.compute_losses(self.discoverer.model(views), labels)


def views_of(rows, dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(8, 3, size, size, generator=generator, dtype=dtype)[rows] for size in (8, 8, 5)]


def train(discoverer, labels, dtype, steps, rows, distributed):
    """Some steps; what has to be equal: losses, gradients, running statistics, sums of the heads."""
    torch.manual_seed(0)
    module = ViewSyncBatchNorm().apply(discoverer(**SETTINGS)).to(dtype).train()
    step = DistributedDataParallel(Step(module)) if distributed else Step(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    labels = torch.tensor(LABELS[labels])[rows]
    for _ in range(steps):
        module.model.normalize_prototypes()
        optimizer.zero_grad()
        losses = step(views_of(rows, dtype), labels)
        losses["loss"].backward()
        optimizer.step()
        module.loss_per_head += losses["loss_per_head"]
    losses = torch.stack([value.detach() for name, value in losses.items() if value.dim() == 0])
    per_head = module.loss_per_head.clone()
    if distributed:
        for value in (losses, per_head):
            dist.all_reduce(value)
            value /= dist.get_world_size()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"losses": losses, "per_head": per_head} | gradients | dict(module.model.named_buffers())


CASES = [
    (Discoverer, "mixed", torch.float32, 1),
    (Discoverer, "mixed", torch.float64, 2),
    (Discoverer, "one kind each", torch.float64, 1),
    (MSEDiscoverer, "uneven", torch.float64, 1),
]


def _worker(rank, port, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = slice(rank * 4, rank * 4 + 4)
    results = [train(*case, rows, distributed=True) for case in CASES]
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_half_batches_equal_the_whole(tmp_path):
    torch.multiprocessing.start_processes(_worker, (free_port(), str(tmp_path)), nprocs=2, start_method="fork")
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for number, case in enumerate(CASES):
        whole = train(*case, slice(None), distributed=False)
        gradients = {key for key in whole if key.endswith(("weight", "bias"))}
        for half in (half[number] for half in halves):
            for key, value in whole.items():
                # In float32 a gradient's rounding is 1e-4 of the largest, with one process too.
                tolerance = 1e-9 if value.dtype == torch.float64 else 3e-4 if key in gradients else 2e-5
                torch.testing.assert_close(
                    half[key], value, rtol=tolerance, atol=tolerance, msg=lambda m, key=key: f"{key}: {m}"
                )
            assert half["per_head"].argmin() == whole["per_head"].argmin()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gathering_from_one_process_changes_nothing(scale):
    logits = (torch.rand(2, 3, 10, 5) * 2 - 1) * scale
    mask = torch.arange(10) % 3 > 0
    alone = SinkhornKnopp(gather=lambda masses: masses[None])(logits, mask)
    torch.testing.assert_close(alone, SinkhornKnopp()(logits, mask))
    assert alone.isfinite().all()
