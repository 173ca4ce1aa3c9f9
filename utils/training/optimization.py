"""SGD with warm-up and cosine decay, as both stages use it."""

from collections.abc import Iterable

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
) -> tuple[list[SGD], list[LinearWarmupCosineLR]]:
    """Optimizer and scheduler in the form that ``configure_optimizers`` returns; arguments are the ``FLAGS``.

    Parameters without gradient, those of fixed layers, are left out: SGD would keep them, and their decay.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = SGD(trained, lr=base_lr, momentum=momentum_opt, weight_decay=weight_decay_opt, fused=True)
    return [optimizer], [
        LinearWarmupCosineLR(optimizer, warmup_epochs=warmup_epochs, max_epochs=max_epochs, min_lr=min_lr)
    ]
