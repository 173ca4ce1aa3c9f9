"""BatchNorm whose statistics are those of one view, for several views in one pass.

The published networks pass every view on its own; the order in which views update the running statistics is theirs.
V views, B samples, H heads, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from utils.distributed import several_processes, sum_over_processes
from utils.errors import UserError
from utils.losses.precision import full


class ViewBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over (V*B, C, h, w), view after view: each view is normalised by its own statistics."""

    num_views: int = 1  # set by the encoder before each pass (begin_pass)
    sync: bool = False  # statistics over all processes

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or (self.num_views == 1 and not self.sync):
            return super().forward(x)
        running = self.running_mean, self.running_var
        return torch.cat(_normalize(x.chunk(self.num_views), self, *running, self.weight, self.bias))  # type: ignore[arg-type]


def begin_pass(layers: Sequence[ViewBatchNorm2d], num_views: int) -> None:
    """Tell an encoder's layers how many views come next, and let them count: all at once, for every kernel costs."""
    for layer in layers:
        layer.num_views = num_views
    counters: list = [layer.num_batches_tracked for layer in layers if layer.training and (num_views > 1 or layer.sync)]
    if counters:  # else torch's own layer counts
        torch._foreach_add_(counters, num_views)


class HeadBatchNorm1d(nn.BatchNorm1d):
    """The BatchNorm of one head's projector; those of all heads are computed by :func:`group_batch_norm`."""

    sync: bool = False


def group_batch_norm(x: Tensor, layers: Sequence[HeadBatchNorm1d]) -> Tensor:
    """The BatchNorm of H heads at once, per view.

    Args:
        x: (H, V, B, C).
        layers: the H modules, whose running statistics are updated in training, view after view.

    Returns:
        (H, V, B, C), equal to ``layers[h](x[h, v])`` for every head and view in turn.
    """
    first, num_heads = layers[0], len(layers)
    weight, bias, mean, var = (
        torch.cat([getattr(layer, name) for layer in layers])
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    by_view = x.permute(1, 2, 0, 3).flatten(2)  # (V, B, H*C)
    if first.training:
        out = torch.stack(_normalize(by_view.unbind(), first, mean, var, weight, bias))
        with torch.no_grad():
            running: list = [getattr(layer, name) for name in ("running_mean", "running_var") for layer in layers]
            torch._foreach_copy_(running, [*mean.chunk(num_heads), *var.chunk(num_heads)])
            counters: list = [layer.num_batches_tracked for layer in layers]
            torch._foreach_add_(counters, len(by_view))
    else:
        out = F.batch_norm(by_view.flatten(0, 1), mean, var, weight, bias, False, 0.0, first.eps).view_as(by_view)
    return out.unflatten(2, (num_heads, -1)).permute(2, 0, 1, 3)


def _normalize(views: Sequence[Tensor], layer, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Each view (B, C, …) by its own statistics; the running ``mean`` and ``var`` (C,) are updated in place."""
    if layer.sync and several_processes():
        return _normalize_synced(views, layer, mean, var, weight, bias)
    return [F.batch_norm(view, mean, var, weight, bias, True, layer.momentum, layer.eps) for view in views]


def _normalize_synced(views, layer, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """The same with statistics over all processes: one all-reduce for all views, on any backend."""
    dims = [d for d in range(views[0].dim()) if d != 1]
    wide = [full(view) for view in views]
    count = wide[0].new_full((1, 1), wide[0].numel() / wide[0].shape[1])  # filled there: a copy would wait for it
    sums = torch.stack([torch.cat([count[0], v.sum(dims), v.square().sum(dims)]) for v in wide])  # (V, 1 + 2C)
    sums = sum_over_processes(sums)
    n = sums[:, :1]
    means, squares = (sums[:, 1:] / n).chunk(2, dim=1)  # (V, C) each
    variances = (squares - means.square()).clamp(min=0)
    with torch.no_grad():
        for view_mean, view_var in zip(means, variances * n / (n - 1), strict=True):
            mean.lerp_(view_mean.to(mean.dtype), layer.momentum)
            var.lerp_(view_var.to(var.dtype), layer.momentum)
    shape = [1, -1] + [1] * (len(dims) - 1)
    scales = weight * torch.rsqrt(variances + layer.eps)  # (V, C)
    shifts = bias - means * scales
    return [
        (v * scale.view(shape) + shift.view(shape)).to(view.dtype)
        for v, view, scale, shift in zip(wide, views, scales, shifts, strict=True)
    ]


class ViewSyncBatchNorm(LayerSync):
    """Lightning's hook for ``--sync_batchnorm``: switches the layers above over, on GPUs and on the CPU."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Switch them.

        Raises:
            UserError: where other layers learn statistics, which would go on for each process alone.
        """
        for name, module in model.named_modules():
            learns = isinstance(module, _BatchNorm) and module.running_mean is not None
            other = learns and not isinstance(module, (ViewBatchNorm2d, HeadBatchNorm1d))
            if other and any(parameter.requires_grad for parameter in module.parameters()):
                raise UserError(
                    f"--sync_batchnorm cannot change {name} of the backbone; leave it away, or fix that layer with "
                    "--train frozen or last_block"
                )
        return _set_sync(model, True)

    def revert(self, model: nn.Module) -> nn.Module:
        return _set_sync(model, False)


def _set_sync(model: nn.Module, sync: bool) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (ViewBatchNorm2d, HeadBatchNorm1d)):
            module.sync = sync
    return model
