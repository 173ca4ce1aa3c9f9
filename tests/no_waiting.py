"""A mode in which an operation that would make the host wait for a device is an error, on the CPU too."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class NoWaiting(TorchDispatchMode):
    """Fails at operations that make the host wait for a device, or whose shape depends on values."""

    WAITING = frozenset(
        ["_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "bincount", "_unique2", "unique_dim"]
    )
    BY_INDEX = frozenset(["index", "index_put", "index_put_", "_index_put_impl_"])

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in self.BY_INDEX and any(x is not None and x.dtype == torch.bool for x in args[1])
        if by_mask or name in self.WAITING:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))
