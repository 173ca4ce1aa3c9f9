"""The linear layers of several heads in one matrix product, with gradients laid out as the weights are.

H heads, N rows, D inputs, O outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def group_linear(x: Tensor, layers: Sequence[nn.Linear]) -> Tensor:
    """``layers[h](x[h])`` for every head, in the data type of autocast where that is on.

    Args:
        x: (H, N, D).
        layers: H modules of one shape, with biases.

    Returns:
        (H, N, O).
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    weight, bias = (torch.stack([getattr(layer, name) for layer in layers]).to(dtype) for name in ("weight", "bias"))
    return _GroupLinear.apply(x.to(dtype), weight, bias)


class _GroupLinear(torch.autograd.Function):
    """(H, N, D) by (H, O, D) and (H, O) to (H, N, O).

    torch's own gradient of such a product comes transposed, (H, D, O), and is copied for every layer of every head.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        # Features of a frozen backbone need no gradient: half of the work of a step on them.
        return grad @ weight if ctx.needs_input_grad[0] else None, grad.mT @ x, grad.sum(1)
