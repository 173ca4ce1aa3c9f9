"""Contrastive disentangling and its SimCLR baseline: representations that need no number of classes.

Letters: B samples, P projected dimensions, K features; two views.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.optim import Adam

from utils.cli.settings import resolve
from utils.data.specs import LARGEST_ARRAY_IMAGE
from utils.distributed import several_processes
from utils.errors import UserError
from utils.evaluation.embedding_protocol import EmbeddingEvaluation
from utils.losses import feature_loss, instance_loss, normalized_entropy
from utils.nets.disentangling_net import DisentanglingNet
from utils.training.epoch_means import EpochMeans, log_epoch
from utils.training.lr_scheduler import LinearWarmupCosineLR

JUDGE = "feature/nmi"  # the best model is the one with the largest, as published


class Disentangler(pl.LightningModule):
    """Instance loss plus feature loss on two views (``method="cd"``), or the instance loss alone (``"simclr"``).

    Args:
        net: the network; None: a new one, as the flags say.
        **flags: named as the flags of train.py; those not given take the flags' defaults.

    Raises:
        UserError: for an unknown flag or backbone.
    """

    def __init__(self, net: DisentanglingNet | None = None, **flags: Any) -> None:
        super().__init__()
        settings = resolve("disentangle", flags)
        self.save_hyperparameters(settings)
        self.model = net or DisentanglingNet(
            backbone=settings["backbone"],
            hidden_dim=settings["hidden_dim"],
            feature_num=settings["feature_num"] if settings["method"] == "cd" else None,
            low_res=settings["image_size"] <= LARGEST_ARRAY_IMAGE,
            width=settings["width"],
        )
        self.means = EpochMeans()
        self.evaluation = EmbeddingEvaluation(settings["k"], settings["class_num"])
        self.scores: dict[str, float] = {}  # of the last evaluation
        self.best: dict[str, float] = {}  # of the best one, with its epoch

    # The objective: outputs in, losses out

    def compute_losses(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The objective and its terms.

        Args:
            outputs: of the network for two views; ``features`` are there or not, as the method has them.

        Returns:
            ``loss`` (with gradient), ``loss_instance`` and, with features, ``loss_feature`` and ``entropy``.
        """
        z1, z2 = self.gathered(outputs["projections"])  # (B, P) each
        instance = instance_loss(z1, z2, self.hparams["instance_temperature"])
        losses = {"loss": instance, "loss_instance": instance}
        if "features" in outputs:
            f1, f2 = self.gathered(outputs["features"])  # (B, K) each
            feature = feature_loss(f1, f2, self.hparams["feature_temperature"])
            entropy = (normalized_entropy(f1) + normalized_entropy(f2)) / 2
            losses |= {"loss": instance + feature, "loss_feature": feature, "entropy": entropy.detach()}
        return losses

    def gathered(self, views: Tensor) -> Tensor:
        """(2, B, D) -> the same, with ``gather_negatives`` from all processes; gradients flow back to each of them."""
        if not (self.hparams["gather_negatives"] and several_processes()):
            return views
        return torch.cat(all_gather(views.contiguous()), dim=1)

    # The loop

    def on_train_epoch_start(self) -> None:
        self.lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def training_step(self, batch: tuple[Sequence[Tensor], Tensor], batch_idx: int) -> Tensor:
        views, _ = batch
        losses = self.compute_losses(self.model(views))
        self.means.update(losses)
        return losses["loss"]

    def on_train_epoch_end(self) -> None:
        log_epoch(self, self.means, self.lr)

    def configure_optimizers(self) -> Any:
        settings = self.hparams
        optimizer = Adam(
            self.parameters(),
            lr=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        if not settings["use_scheduler"]:
            return optimizer
        return [optimizer], [
            LinearWarmupCosineLR(optimizer, warmup_epochs=0, max_epochs=settings["epochs"], min_lr=0.0)
        ]

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm; Lightning refuses to where the optimizer is fused, for that one unscales gradients itself."""
        if gradient_clip_val is None:
            return
        if self.trainer.scaler is not None:
            self.trainer.scaler.unscale_(optimizer)  # which the optimizer then leaves out
        torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    # Evaluation: k-means on the backbone and on the last layer

    def on_validation_epoch_start(self) -> None:
        self.evaluation.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        outputs = self.model(images)
        last = outputs[self.model.last_layer]
        if self.model.last_layer == "projections":
            last = F.normalize(last.float(), dim=1)  # the instance loss knows their directions only
        self.evaluation.update(outputs["feats"], last, labels)

    def on_validation_epoch_end(self) -> None:
        self.evaluation.gather()
        self.scores = self._cluster()
        if self.scores.get(JUDGE, -1.0) > self.best.get(JUDGE, -1.0):
            self.best = self.scores | {"epoch": self.current_epoch + 1}
        self.log_dict(self.scores)

    def _cluster(self) -> dict[str, float]:
        """Scores, equal on all processes: the first one clusters."""
        result: dict[str, float] | str = {}
        if self.trainer.is_global_zero:
            try:
                result = self.evaluation.cluster()
            except UserError as error:
                result = str(error)
        result = self.trainer.strategy.broadcast(result)
        if isinstance(result, str):
            raise UserError(result)
        return result

    # A checkpoint remembers the best evaluation too

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["best"] = dict(self.best)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.best = dict(checkpoint.get("best", {}))
