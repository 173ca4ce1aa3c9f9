"""A memory of the last rows, first in first out, with static shapes: writes are index_copy, never boolean indexing.

M slots, n rows of a step, any columns and leading dimensions.
"""

import torch
from torch import Tensor


@torch.no_grad()
def slots(pointer: Tensor, rows: Tensor, size: int) -> Tensor:
    """Where each row of a step goes.

    Args:
        pointer: scalar int64, the slot that is written next.
        rows: (n,) boolean, the rows that are remembered.
        size: M.

    Returns:
        (n,) int64 slots in 0..M-1, wrapped round; M for rows that are not remembered, and for the first ones where
        more than M are.
    """
    rank = rows.cumsum(0) - 1
    kept = rows & (rank >= rows.sum() - size)
    return torch.where(kept, (pointer + rank) % size, size)


@torch.no_grad()
def remember(memory: Tensor, values: Tensor, where: Tensor) -> Tensor:
    """The memory with the values of a step in their slots.

    Args:
        memory: (…, M, D), or (M,) for one number a slot.
        values: (…, n, D), or (n,).
        where: (n,), of :func:`slots`.
    """
    dim = -2 if memory.dim() > 1 else 0
    spare = memory.narrow(dim, 0, 1)  # the slot that is thrown away
    longer = torch.cat([memory, spare], dim=dim)
    return longer.index_copy(dim, where, values.detach().to(memory.dtype)).narrow(dim, 0, memory.shape[dim])


@torch.no_grad()
def advance(pointer: Tensor, rows: Tensor, size: int) -> Tensor:
    """The pointer after a step."""
    return (pointer + rows.sum()) % size
