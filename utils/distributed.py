"""Sums and lists over processes, for what is computed on the batch of all of them; one process alone needs neither."""

import os
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # in which Lightning finds a process's rank


def take_rank(num_nodes: int, processes: int) -> None:
    """Tell a process that was started by hand which one of several machines it is on.

    Lightning asks NODE_RANK when there is a Trainer; until then the first process of every machine would take itself
    for the first of all, and the run's folder for its own.

    Args:
        num_nodes: machines.
        processes: on all of them.
    """
    if num_nodes > 1 and not any(name in os.environ for name in RANKS):
        machine = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", 0)))
        rank_zero_only.rank = machine * (processes // num_nodes)  # type: ignore[attr-defined]
        if "NODE_RANK" in os.environ:
            print(f"machine   {machine} of 0 to {num_nodes - 1}; training begins when all are there", flush=True)


def several_processes() -> bool:
    """Whether this is one of several processes that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, with gradients; the tensor itself where there is one process.

    Its gradient is the sum of the gradients of all processes: a loss that is computed from such sums on every process
    has, averaged by DDP, the gradient of that loss on the whole batch.
    """
    return _Sum.apply(values) if several_processes() else values


class _Sum(torch.autograd.Function):
    """All-reduce whose gradient is an all-reduce."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _Sum.forward(ctx, gradient)


@torch.no_grad()
def gather_over_processes(values: Tensor) -> Tensor:
    """The tensors of all processes, stacked in a new first dimension in the order of ranks; without gradients."""
    if not several_processes():
        return values[None]
    values = values.contiguous()  # NCCL takes nothing else, and an empty_like keeps the layout
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered)


@rank_zero_only
def say(text: str) -> None:
    """Print a line at once, on the first process alone."""
    print(text, flush=True)
