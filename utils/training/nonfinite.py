"""What happens when the loss or its gradient is not a finite number: one message, the state before it, or a skip."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from utils import torch_files
from utils.distributed import gather_over_processes, say, several_processes, sum_over_processes
from utils.errors import NonFiniteError

NAME = "nonfinite.ckpt"
STEPS_BETWEEN_LOOKS = 50


class NonFinite(Callback):
    """Keeps steps with numbers that are not finite from the weights.

    On a CPU every step is looked at, by all processes together. On a GPU the optimizer itself leaves such a step out
    (the flag by which loss scaling does so), without the host knowing; the host looks every ``STEPS_BETWEEN_LOOKS``
    steps, at the end of an epoch and before a checkpoint, and with ``stop`` nothing is learnt from the first such
    step on until then. Loss scaling decides by itself what is left out: it is shown an infinite gradient, and gets
    its scale back in the end.

    Args:
        folder: of the run, for the state before the step.
        mode: ``stop`` or ``skip``.
    """

    def __init__(self, folder: Path, mode: str) -> None:
        self.path = folder / NAME
        self.mode = mode

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A walk through all modules at every step costs 0.4 ms; memories are other tensors in every step.
        self.places = [(part._buffers, name) for part in pl_module.modules() for name in part._buffers]
        self.kept = [value.clone() for value in self._running()]
        self.parameters = list(pl_module.parameters())
        self.bad = torch.zeros((), dtype=torch.bool, device=pl_module.device)
        self.step = torch.zeros((), dtype=torch.long, device=pl_module.device)  # of this epoch, the first bad one
        self.values: Tensor | None = None  # its scalars, then its gradient norm
        self.skipped = torch.zeros((), dtype=torch.long, device=pl_module.device)
        self.scale = torch.ones((), device=pl_module.device)  # of the losses, in the first bad step
        self.on_host = _runs_on_host(pl_module)
        if not self.on_host:
            _begin_momentum(trainer.optimizers)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if self.on_host or self.mode == "skip":
            _copy(self.kept, self._running())

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scalars = pl_module.means.last  # type: ignore[union-attr]
        if trainer.scaler is None:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            norm = torch.stack(torch._foreach_norm(gradients)).norm()
        else:  # infinite gradients belong to loss scaling, which leaves such steps out by itself
            norm = torch.zeros((), device=pl_module.device)
        values = torch.cat([scalars, norm.double()[None]])  # type: ignore[list-item]
        if self.on_host:
            if sum_over_processes(1.0 - values.isfinite().all().double()):
                self._meet(trainer, pl_module, values)
            return
        # The gradients of several processes are the same, their losses are not: all have to decide alike.
        decisive = values[-1:] if several_processes() and trainer.scaler is None else values
        bad = ~decisive.isfinite().all()
        first = bad & ~self.bad
        self.values = values if self.values is None else torch.where(first, values, self.values)
        self.step = torch.where(first, trainer.fit_loop.batch_idx, self.step)
        self.skipped += bad
        self.bad |= bad
        if trainer.scaler is None:
            leave_out = bad if self.mode == "skip" else self.bad
            for optimizer in trainer.optimizers:
                optimizer.found_inf = leave_out.float()  # type: ignore[attr-defined]
        elif self.mode == "stop" and not several_processes():  # which may have met none: they would go apart
            self.scale = torch.where(first, trainer.scaler._get_scale_async(), self.scale)
            smallest = min((value.grad for value in self.parameters if value.grad is not None), key=Tensor.numel)
            smallest += torch.where(self.bad, torch.inf, 0.0)
        if self.mode == "skip":
            for value, kept in zip(self._running(), self.kept, strict=True):
                torch.where(bad, kept, value, out=value)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        if (args[-1] + 1) % STEPS_BETWEEN_LOOKS == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, pl_module)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Any) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Whether any process has met such a step on its GPU; all of them ask at the same steps."""
        if self.on_host or not hasattr(self, "bad"):
            return
        met = gather_over_processes(torch.stack([self.bad.long(), self.step, self.skipped])).tolist()  # the one wait
        if any(bad for bad, _, _ in met):
            self.bad.zero_()
            step = next(step for bad, step, _ in met if bad)
            self._tell(trainer, pl_module, self.values, step, max(count for _, _, count in met))
            self.skipped.zero_()
        _copy(self.kept, self._running())

    def _running(self) -> list[Tensor]:
        """What a forward pass changes, as it is now."""
        return [value for buffers, name in self.places if (value := buffers[name]) is not None]

    def _meet(self, trainer: pl.Trainer, pl_module: pl.LightningModule, values: Tensor) -> None:
        """A step that the host knows of before the optimizer: nothing of it stays."""
        _copy(self._running(), self.kept)
        for parameter in pl_module.parameters():
            parameter.grad = None
        self._tell(trainer, pl_module, values, trainer.fit_loop.batch_idx, 1)

    def _tell(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, values: Tensor | None, step: int, count: int
    ) -> None:
        """Of the process that met it; all of them are here."""
        assert values is not None
        everyone = gather_over_processes(values)
        rank = _first_wrong(everyone)
        names = [*pl_module.means.names, "gradient norm"]  # type: ignore[union-attr, misc]
        numbers = dict(zip(names, everyone[rank].tolist(), strict=True))
        wrong = [name for name, number in numbers.items() if not math.isfinite(number)]
        shown = ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
        message = (
            f"not finite in epoch {trainer.current_epoch + 1}, step {step + 1}: "
            f"{', '.join(wrong)} ({shown}; learning rate {pl_module.lr:.4g})"
        )
        if self.mode == "skip":
            say(f"warning: {message}; skipped ({count} steps)")
            return
        loader: Any = trainer.train_dataloader
        rows = loader.batch_rows(trainer.current_epoch, step).to(pl_module.device)
        indices = gather_over_processes(rows)[rank].tolist()
        _copy(self._running(), self.kept)
        if trainer.scaler is not None and not self.on_host and not several_processes():
            trainer.scaler.update(self.scale)
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        where = {"epoch": trainer.current_epoch, "step": step, "rank": rank, "indices": indices, "values": numbers}
        if trainer.is_global_zero:
            torch_files.save_torch(self.path, checkpoint | {"nonfinite": where})
        trainer.strategy.barrier("nonfinite")  # the end of one process ends the others
        raise NonFiniteError(f"{message}; the batch's indices and the state before it are in {self.path}")


def _first_wrong(everyone: Tensor) -> int:
    """The first process whose losses (processes, numbers) are not finite, or its gradient, which may be that of all."""
    finite = everyone.isfinite()
    for found in (finite[:, :-1].all(dim=1).tolist(), finite[:, -1].tolist()):
        if not all(found):
            return found.index(False)
    return 0


def _runs_on_host(pl_module: pl.LightningModule) -> bool:
    return pl_module.device.type == "cpu"


def _copy(tensors: list[Tensor], values: list[Tensor]) -> None:
    """In place; a network without BatchNorm may have none."""
    if tensors:
        torch._foreach_copy_(tensors, values)


def _begin_momentum(optimizers: list[torch.optim.Optimizer]) -> None:
    """Momentum of zero instead of none: a first step that is left out would else leave it undefined."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"] if group.get("momentum") and group.get("fused") else []:
                state = optimizer.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
