"""SGD with warm-up and cosine decay, as pretraining and both kinds of discovery use it."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD

from utils.training.lr_scheduler import LinearWarmupCosineLR

FLAGS = ("base_lr", "min_lr", "momentum_opt", "weight_decay_opt", "warmup_epochs", "max_epochs")


def sgd_warmup_cosine(
    parameters: Iterable[nn.Parameter],
    *,
    base_lr: float,
    min_lr: float,
    momentum_opt: float,
    weight_decay_opt: float,
    warmup_epochs: int,
    max_epochs: int,
    decay_vectors: bool = True,
) -> tuple[list[SGD], list[LinearWarmupCosineLR]]:
    """Optimizer and scheduler in the form that ``configure_optimizers`` returns.

    Parameters without gradient, those of fixed layers, are left out: SGD would keep them, and their decay.

    Args:
        parameters: of a network.
        base_lr, min_lr, momentum_opt, weight_decay_opt, warmup_epochs, max_epochs: as the ``FLAGS`` of these names.
        decay_vectors: whether biases and the scales of normalisations are decayed too.
    """
    trained: Any = [parameter for parameter in parameters if parameter.requires_grad]
    if not decay_vectors:
        vectors = [parameter for parameter in trained if parameter.ndim == 1]
        matrices = [parameter for parameter in trained if parameter.ndim != 1]
        trained = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = SGD(trained, lr=base_lr, momentum=momentum_opt, weight_decay=weight_decay_opt, fused=True)
    return [optimizer], [
        LinearWarmupCosineLR(optimizer, warmup_epochs=warmup_epochs, max_epochs=max_epochs, min_lr=min_lr)
    ]
