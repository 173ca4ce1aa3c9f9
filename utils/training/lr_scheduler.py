"""Linear warm-up, then cosine decay, per epoch."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine_lr(epoch: int, *, base_lr: float, min_lr: float, warmup_epochs: int, max_epochs: int) -> float:
    """Learning rate of an epoch: ``min_lr`` to ``base_lr`` in ``warmup_epochs``, then a half cosine towards ``min_lr``.

    The last warm-up epoch and the first one of the cosine both run at ``base_lr``, as in the published schedule.

    Example:
        >>> [round(warmup_cosine_lr(e, base_lr=1.0, min_lr=0.0, warmup_epochs=3, max_epochs=5), 2) for e in range(5)]
        [0.0, 0.5, 1.0, 1.0, 0.5]
    """
    if epoch < warmup_epochs:
        return min_lr + (base_lr - min_lr) * epoch / max(warmup_epochs - 1, 1)
    progress = (epoch - warmup_epochs) / max(max_epochs - warmup_epochs, 1)
    return min_lr + (base_lr - min_lr) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


class LinearWarmupCosineLR(LambdaLR):
    """:func:`warmup_cosine_lr` as a scheduler that is stepped once an epoch; ``base_lr`` is the optimizer's own."""

    def __init__(self, optimizer: Optimizer, *, warmup_epochs: int, max_epochs: int, min_lr: float) -> None:
        def factor(base_lr: float) -> Callable[[int], float]:
            return lambda epoch: (
                warmup_cosine_lr(
                    epoch, base_lr=base_lr, min_lr=min_lr, warmup_epochs=warmup_epochs, max_epochs=max_epochs
                )
                / base_lr
            )

        super().__init__(optimizer, [factor(group["lr"]) for group in optimizer.param_groups])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the rate of this schedule; the saved one may be of another length."""
        super().load_state_dict(state_dict)
        self._last_lr = [base * law(self.last_epoch) for base, law in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
