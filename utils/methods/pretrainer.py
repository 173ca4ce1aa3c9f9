"""Supervised pretraining on the labelled classes (first stage of UNO and IIC).

V views, B samples, L labelled classes.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.cli.methods import Method
from utils.cli.settings import resolve
from utils.data.specs import dataset_spec
from utils.methods.backbone_settings import backbone_of
from utils.nets import MultiHeadResNet
from utils.nets.pretrained_weights import freeze_early, load_pretrained
from utils.training.epoch_means import EpochMeans, log_epoch
from utils.training.optimization import FLAGS, sgd_warmup_cosine


class Pretrainer(pl.LightningModule):
    """Cross-entropy at a temperature on large views of labelled images.

    Args:
        **flags: named as the command-line flags of pretraining; those not given take the flags' defaults.
    """

    method: ClassVar[Method | None] = None  # of baselines/, with defaults of its own
    images: ClassVar[str] = "pretrain"  # mode of the datamodule

    def __init__(self, **flags: Any) -> None:
        super().__init__()
        settings = resolve("pretrain", flags, method=self.method)
        encoder = backbone_of(settings)
        self.save_hyperparameters(settings)
        self.model = MultiHeadResNet(
            arch=settings["arch"],
            low_res=dataset_spec(settings["dataset"], settings["image_size"]).low_res,
            num_labeled=settings["num_labeled_classes"],
            num_unlabeled=settings["num_unlabeled_classes"],
            num_heads=None,
            width=settings["width"],
            encoder=encoder,
        )
        if settings["pretrained"]:
            load_pretrained(self.model, settings["pretrained"], settings["class_names"], encoder_alone=True)
        freeze_early(self.model.encoder, settings)
        self.means = EpochMeans()

    def answers(self, views: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, K) of all views, and what they should say (n,)."""
        logits = self.model(views)["logits_lab"]  # (V, B, L)
        return logits.flatten(0, 1), labels.repeat(len(logits))

    def to_save(self) -> tuple[dict[str, Tensor], list[str] | None]:
        """The ``state_dict`` that the next stage starts from, and the names of its labelled classes."""
        return self.model.state_dict(), self.hparams["class_names"]

    def on_train_epoch_start(self) -> None:
        self.lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def training_step(self, batch: tuple[Sequence[Tensor], Tensor], batch_idx: int) -> Tensor:
        views, labels = batch
        self.model.normalize_prototypes()
        logits, targets = self.answers(views, labels)
        loss = F.cross_entropy(logits / self.hparams["temperature"], targets)  # mean over views and samples
        self.means.update({"loss_supervised": loss})
        return loss

    def on_train_epoch_end(self) -> None:
        log_epoch(self, self.means, self.lr)

    def on_validation_epoch_start(self) -> None:
        self._totals = torch.zeros(3, dtype=torch.float64, device=self.device)  # loss, correct, samples

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        logits, targets = self.answers([images], labels)
        loss = F.cross_entropy(logits, targets, reduction="sum")  # without temperature, as published
        correct = (logits.argmax(dim=-1) == targets).sum()
        self._totals += torch.stack([loss.double(), correct.double(), torch.full_like(loss.double(), len(targets))])

    def on_validation_epoch_end(self) -> None:
        loss, correct, samples = self.trainer.strategy.reduce(self._totals, reduce_op="sum").tolist()
        if samples:
            self.log_dict({"val/acc": correct / samples, "val/loss_supervised": loss / samples})

    def configure_optimizers(self) -> Any:
        return sgd_warmup_cosine(self.parameters(), **{name: self.hparams[name] for name in FLAGS})
