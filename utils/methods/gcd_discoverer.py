"""SimGCD: generalized discovery, in which the unlabelled images are of known and of novel classes (Wen et al., ICCV
2023, arXiv:2211.11727; the setting is that of Vaze et al., "GCD", CVPR 2022).

Letters: V views (1 or 2), B samples, L known and U novel classes, D features, P projected features.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.cli.settings import resolve
from utils.data.specs import dataset_spec
from utils.evaluation.generalized import GeneralizedEvaluation
from utils.losses import mean_entropy, nt_xent, self_distillation, sup_con
from utils.losses.semi_supervised import labeled_cross_entropy
from utils.methods.backbone_settings import backbone_of
from utils.methods.self_contained import SelfContained
from utils.nets.encoder import Encoder
from utils.nets.gcd_net import GCDNet
from utils.nets.pretrained_weights import load_encoder
from utils.training.epoch_means import EpochMeans, log_epoch
from utils.training.optimization import FLAGS, sgd_warmup_cosine

CONTRASTIVE_TEMPERATURE, SUP_CON_TEMPERATURE = 1.0, 0.07  # of the published code; the paper's text has others


class GCDDiscoverer(SelfContained):
    """One cosine head over all classes, taught by labels, by its own sharper predictions, and kept from collapsing.

    Args:
        **flags: named as the command-line flags of ``main_discover_gcd.py``; those not given take the flags' defaults.
            ``pretrained=None`` starts from random weights.

    Raises:
        UserError: for an unknown flag, or a pretrained file that does not fit.
    """

    best_head, method, generalized = 0, None, True  # there is one head
    teacher_temperature: Tensor  # scalar, of this epoch

    def __init__(self, **flags: Any) -> None:
        super().__init__()
        settings = resolve("gcd", flags)
        encoder: Any = backbone_of(settings)
        if encoder is None:
            low_res = dataset_spec(settings["dataset"], settings["image_size"]).low_res
            encoder = Encoder(settings["arch"], low_res, settings["width"])
        self.save_hyperparameters(settings)
        self.num_labeled = settings["num_labeled_classes"]
        self.model = GCDNet(
            encoder,
            num_labeled=self.num_labeled,
            num_unlabeled=settings["num_unlabeled_classes"],
            hidden_dim=settings["hidden_dim"],
            proj_dim=settings["proj_dim"],
            num_mlp_layers=settings["num_mlp_layers"],
            standardize=settings["standardize"],
        )
        if settings["pretrained"]:
            load_encoder(self.model, settings["pretrained"])
        self.register_buffer("teacher_temperature", torch.tensor(self.teacher_temperature_at(0)))
        self.means = EpochMeans()
        self.evaluation = GeneralizedEvaluation(self.num_labeled)

    # The objective: outputs in, losses out

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The objective and its terms (SimGCD, eq. 2 to 6).

        Args:
            outputs: of :class:`~utils.nets.gcd_net.GCDNet` for V views; a single view is compared with itself.
            labels: (B,) integers; 0 <= label < L is labelled, anything else (-1 too) is not.

        Returns:
            ``loss`` (with gradient) and its terms; ``loss_contrastive`` and ``loss_sup_con`` with a projector only.
            What needs labelled rows is 0 where there are none.
        """
        w, temperature = self.hparams["sup_weight"], self.hparams["temperature"]
        mask_lab = (labels >= 0) & (labels < self.num_labeled)
        logits = _two_views(outputs["logits"])  # (2B, L+U)
        losses = {
            "loss_supervised": labeled_cross_entropy(logits, labels.repeat(2), mask_lab.repeat(2), temperature),
            "loss_distill": self_distillation(logits, temperature, self.teacher_temperature),
            "loss_mean_entropy": math.log(logits.shape[1]) - mean_entropy(logits, temperature),
        }
        losses["loss_cluster"] = losses["loss_distill"] + self.hparams["memax_weight"] * losses["loss_mean_entropy"]
        unsupervised, supervised = losses["loss_cluster"], losses["loss_supervised"]
        if "projections" in outputs:
            projections = _two_views(outputs["projections"])  # (2B, P)
            first, second = projections.chunk(2)
            losses["loss_contrastive"] = nt_xent(first, second, CONTRASTIVE_TEMPERATURE)
            losses["loss_sup_con"] = sup_con(projections, labels, mask_lab, SUP_CON_TEMPERATURE)
            unsupervised = unsupervised + losses["loss_contrastive"]
            supervised = supervised + losses["loss_sup_con"]
        return {"loss": (1 - w) * unsupervised + w * supervised, **losses}

    def teacher_temperature_at(self, epoch: int) -> float:
        """Linear from ``--warmup_teacher_temp`` to ``--teacher_temp``, which the last epoch of the warm-up has."""
        first, last = self.hparams["warmup_teacher_temp"], self.hparams["teacher_temp"]
        length = self.hparams["warmup_teacher_temp_epochs"]
        return last if epoch >= length else first + (last - first) * epoch / max(length - 1, 1)

    # The loop

    def on_fit_start(self) -> None:
        if self.model.standardize and not self.trainer.ckpt_path:  # a checkpoint brings what its run began with
            self.model.standardize_by(self._training_features())

    def on_train_epoch_start(self) -> None:
        self.teacher_temperature.fill_(self.teacher_temperature_at(self.current_epoch))
        self.lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def training_step(self, batch: tuple[Sequence[Tensor], Tensor], batch_idx: int) -> Tensor:
        views, labels = batch
        losses = self.compute_losses(self.model(views), labels)
        self.means.update(losses)
        return losses["loss"]

    def on_train_epoch_end(self) -> None:
        log_epoch(self, self.means, self.lr)

    def configure_optimizers(self) -> Any:
        flags = {name: self.hparams[name] for name in FLAGS}
        return sgd_warmup_cosine(self.parameters(), decay_vectors=False, **flags)

    @torch.inference_mode()
    def _training_features(self) -> Tensor:
        """Features (N, D) of all training images, in the view of evaluation."""
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        loaders = [datamodule.evaluation_loader(name, self.device) for name in ("lab/train", "unlab/train")]
        self.model.eval()
        feats = torch.cat([self.model.encode([images])[0].float() for loader in loaders for images, _ in loader])
        self.model.train()
        return feats.clone()

    # Evaluation

    def predictions(self, images: Tensor) -> dict[str, Tensor]:
        """The network's outputs for one view of B images, or their features."""
        return self.model(images)

    def on_validation_epoch_start(self) -> None:
        self.evaluation.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        name = self.trainer.datamodule.dataloader_mapping[dataloader_idx]  # type: ignore[attr-defined]
        self.evaluation.update(name, self.predictions(images)["logits"], labels)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.evaluation.compute())


def _two_views(values: Tensor) -> Tensor:
    """(V, B, K) -> (2B, K), view after view; the only view stands for both."""
    return values.expand(2, -1, -1).flatten(0, 1) if len(values) == 1 else values.flatten(0, 1)
