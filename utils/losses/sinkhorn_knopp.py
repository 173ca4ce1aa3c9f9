"""Sinkhorn-Knopp: equally filled soft cluster assignments (SwAV, arXiv:2006.09882; UNO, arXiv:2108.08536)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from utils.losses.precision import full


class SinkhornKnopp(nn.Module):
    """Soft assignments in which every prototype receives the same mass and every row sums to one.

    The published code alternates divisions of exp(logits / epsilon); this one subtracts logarithms of the same sums,
    which is equal where that is finite, and finite everywhere.

    Args:
        num_iters: rounds of normalisation over prototypes, then rows.
        epsilon: entropy of the assignments; smaller is harder.
        gather: stacks a tensor of every process in a new first dimension, which makes the assignments those of the
            batch of all processes (``utils.distributed.gather_over_processes``). It is called once an iteration, on
            the (..., K) logarithms of the prototypes' masses: sums of those, unlike sums of masses, cannot underflow.

    Example:
        >>> SinkhornKnopp(num_iters=30)(torch.tensor([[1.0, 0.0], [1.0, 0.8]])).round()
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(
        self, num_iters: int = 3, epsilon: float = 0.05, gather: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.num_iters = num_iters
        self.epsilon = epsilon
        self.gather = gather

    @torch.no_grad()
    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Assign rows to prototypes, separately for every leading dimension.

        Args:
            logits: (..., B, K), any floating dtype; half precisions are computed in float32.
            mask: (B,) boolean, the rows that take part; None: all. The others get all-zero assignments.

        Returns:
            Assignments (..., B, K) in float32, or float64 for float64 logits.
        """
        log_q = full(logits) / self.epsilon
        rows_out = torch.zeros_like(log_q[..., :1]) if mask is None else (~mask)[:, None].to(log_q.dtype)
        exclude = rows_out * torch.finfo(log_q.dtype).min  # (B, 1), added where prototypes sum over rows
        for _ in range(self.num_iters):
            log_q = self._fill_prototypes(log_q + exclude)
            log_q = torch.log_softmax(log_q, dim=-1)
        return log_q.exp() * (1 - rows_out)

    def _fill_prototypes(self, log_q: Tensor) -> Tensor:
        """Divide by the mass of every prototype, of this batch or of all processes' batches."""
        if self.gather is None:
            return torch.log_softmax(log_q, dim=-2)
        masses = self.gather(torch.logsumexp(log_q, dim=-2))  # (processes, ..., K)
        return log_q - torch.logsumexp(masses, dim=0).unsqueeze(-2)
