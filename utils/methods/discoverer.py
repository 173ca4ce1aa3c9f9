"""UNO v2's discovery of novel classes, with a hook for constraints (UNO: arXiv:2108.08536; IIC: arXiv:2210.03591).

Letters: V views (the first ones large), H heads, B samples, L labelled and U unlabelled classes, o over-clustering.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from utils.cli.methods import Method
from utils.cli.settings import resolve
from utils.data.specs import dataset_spec
from utils.distributed import gather_over_processes, sum_over_processes
from utils.evaluation.protocols import DiscoveryEvaluation
from utils.losses import SinkhornKnopp, swapped_prediction
from utils.losses.constraints import alone
from utils.methods.backbone_settings import backbone_of
from utils.methods.self_contained import SelfContained
from utils.nets import MultiHeadResNet
from utils.nets.pretrained_weights import load_pretrained
from utils.training.epoch_means import EpochMeans, log_epoch
from utils.training.optimization import FLAGS, sgd_warmup_cosine


def full_logits(logits_lab: Tensor, logits_unlab: Tensor) -> Tensor:
    """Logits over known and novel classes (V, H, B, L+K), from (V, B, L) and (V, H, B, K)."""
    logits_lab = logits_lab.unsqueeze(1).expand(-1, logits_unlab.shape[1], -1, -1)
    return torch.cat([logits_lab, logits_unlab], dim=-1)


class Discoverer(SelfContained):
    """The UNO v2 baseline: multi-head, multi-crop swapped prediction and nothing else.

    A constraint is added by a subclass: ``factors`` names it and gives its default weight, and :meth:`constraints`
    computes it. Constraint ``k`` has the flag ``--factor_k`` and is logged as ``k_loss``. A method of ``baselines/``
    is a subclass with a ``method``, which brings flags and defaults.

    Args:
        **flags: named as the command-line flags of discovery; those not given take the flags' defaults.
            ``pretrained=None`` starts from random weights.

    Raises:
        UserError: for an unknown flag, or a pretrained file that does not fit.
    """

    factors: ClassVar[Mapping[str, float]] = {}
    generalized = False  # the unlabelled images are of novel classes alone
    method: ClassVar[Method | None] = None
    loss_per_head: Tensor  # (H,), summed over the epoch
    best_head: Tensor  # the head with the smallest sum

    def __init__(self, **flags: Any) -> None:
        super().__init__()
        settings = resolve("discover", flags, self.factors, self.method)
        encoder = backbone_of(settings)
        self.save_hyperparameters(settings)
        self.num_labeled = settings["num_labeled_classes"]
        self.model = self.network(
            arch=settings["arch"],
            low_res=dataset_spec(settings["dataset"], settings["image_size"]).low_res,
            num_labeled=self.num_labeled,
            num_unlabeled=settings["num_unlabeled_classes"],
            hidden_dim=settings["hidden_dim"],
            proj_dim=settings["proj_dim"],
            overcluster_factor=settings["overcluster_factor"],
            num_heads=settings["num_heads"],
            num_hidden_layers=settings["num_hidden_layers"],
            width=settings["width"],
            encoder=encoder,
        )
        if settings["pretrained"]:
            load_pretrained(self.model, settings["pretrained"], settings["class_names"])
        together = settings["global_sinkhorn"]
        gather = gather_over_processes if together else None
        self.sinkhorn = SinkhornKnopp(settings["num_iters_sk"], settings["epsilon_sk"], gather)
        self.reduce = sum_over_processes if together else alone
        self.register_buffer("loss_per_head", torch.zeros(settings["num_heads"]))
        self.register_buffer("best_head", torch.tensor(0))
        self._ddp_params_and_buffers_to_ignore = ["loss_per_head", "best_head"]  # else rank 0's sums go to all
        self.memories: list[str] = []
        self.means = EpochMeans()
        self.evaluation = DiscoveryEvaluation(settings["num_heads"], self.num_labeled)

    def network(self, **sizes: Any) -> MultiHeadResNet:
        """The network, from the arguments of :class:`~utils.nets.multi_head_resnet.MultiHeadResNet`."""
        return MultiHeadResNet(**sizes)

    def register_memory(self, buffers: Mapping[str, Tensor]) -> None:
        """Register what every process remembers of its own rows: memories and where they are written next."""
        for name, value in buffers.items():
            self.register_buffer(name, value)
        self._ddp_params_and_buffers_to_ignore += buffers
        self.memories += buffers

    # The objective: logits in, losses out

    def constraints(self, logits: Tensor, mask_lab: Tensor) -> dict[str, Tensor]:
        """Constraint -> scalar, from full logits (V, H, B, L+U) and the labelled mask (B,); none in the baseline."""
        return {}

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The objective and its terms.

        Args:
            outputs: of :class:`~utils.nets.multi_head_resnet.MultiHeadResNet` for V views.
            labels: (B,) integers; 0 <= label < L is labelled, anything else (-1 too) is not.

        Returns:
            ``loss`` (with gradient), ``loss_cluster``, ``loss_overcluster`` (where the network has that bank),
            ``loss_per_head`` (H,) and ``<k>_loss`` of every constraint, unweighted.
        """
        mask_lab = self.is_labeled(labels)
        logits, loss_cluster = self.cluster_loss(outputs["logits_lab"], outputs["logits_unlab"], labels, mask_lab)
        losses = {"loss": loss_cluster.mean(), "loss_cluster": loss_cluster.mean()}
        if "logits_unlab_over" in outputs:
            over = self.cluster_loss(outputs["logits_lab"], outputs["logits_unlab_over"], labels, mask_lab)[1].mean()
            losses |= {"loss": (losses["loss_cluster"] + over) / 2, "loss_overcluster": over}
        losses["loss_per_head"] = loss_cluster.detach()
        return self.with_constraints(losses, self.constraints(logits, mask_lab))

    def with_constraints(self, losses: dict[str, Tensor], constraints: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses with weighted constraints in ``loss``, and ``<k>_loss`` of each beside it."""
        for name, value in constraints.items():
            losses["loss"] = losses["loss"] + self.hparams[f"factor_{name}"] * value
            losses[f"{name}_loss"] = value
        return losses

    def cluster_loss(
        self, logits_lab: Tensor, logits_unlab: Tensor, labels: Tensor, mask_lab: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Swapped prediction over known and novel classes (UNO, eq. 3): full logits, and each head's loss (H,)."""
        logits = full_logits(logits_lab, logits_unlab)  # (V, H, B, L+K)
        targets = self.targets(logits_unlab[: self.hparams["num_large_crops"]], labels, mask_lab)
        return logits, self.swapped_prediction(logits, targets)

    def swapped_prediction(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each head (H,), from logits (V, H, B, L+K) and targets (large, H, B, L+K)."""
        return swapped_prediction(logits, targets, len(targets), self.hparams["temperature"])

    def targets(self, logits_unlab: Tensor, labels: Tensor, mask_lab: Tensor) -> Tensor:
        """Targets (large, H, B, L+K): the label of a labelled row, Sinkhorn's assignment of any other."""
        assignments = self.sinkhorn(logits_unlab, mask=~mask_lab)  # all zero in labelled rows
        return self.full_targets(labels, assignments)

    def full_targets(self, labels: Tensor, novel: Tensor) -> Tensor:
        """Targets (…, B, L+K), from those of novel classes (…, B, K), zero in labelled rows, which have their label."""
        one_hot = (labels[:, None] == torch.arange(self.num_labeled, device=labels.device)).to(novel.dtype)
        return torch.cat([one_hot.expand(*novel.shape[:-2], -1, -1), novel], dim=-1)

    def is_labeled(self, labels: Tensor) -> Tensor:
        """(B,) boolean: 0 <= label < L; every other label, -1 included, means unlabelled."""
        return (labels >= 0) & (labels < self.num_labeled)

    # The loop

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """What :meth:`compute_losses` takes, from a batch."""
        return self.model(views)

    def on_train_epoch_start(self) -> None:
        # Here alone: the published code resets before validation too, and its best head is then always head 0.
        self.loss_per_head.zero_()
        self.lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def training_step(self, batch: tuple[Sequence[Tensor], Tensor], batch_idx: int) -> Tensor:
        views, labels = batch
        self.model.normalize_prototypes()
        losses = self.compute_losses(self.outputs(views, labels), labels)
        self.accumulate(losses)
        self.means.update(losses)
        return losses["loss"]

    def accumulate(self, losses: dict[str, Tensor]) -> None:
        """Add to the sums of the epoch what is no scalar, and take it out of the losses."""
        self.loss_per_head += losses.pop("loss_per_head").nan_to_num(0.0, 0.0, 0.0)  # such a step is told elsewhere

    def on_train_epoch_end(self) -> None:
        log_epoch(self, self.means, self.lr)

    def configure_optimizers(self) -> Any:
        return sgd_warmup_cosine(self.parameters(), **{name: self.hparams[name] for name in FLAGS})

    # Evaluation

    def predictions(self, images: Tensor) -> dict[str, Tensor]:
        """What evaluation reads, of one view (B, 3, h, w): ``feats`` (B, D), ``logits_lab`` (B, L) and
        ``logits_unlab`` (H, B, U) as cosines; ``logits_all`` (H, B, L+U) where it is not both side by side.
        """
        return self.model(images)

    @property
    def choosing(self) -> bool:
        """Whether a validation says anew which head is the best; else it is the checkpoint's."""
        return self.trainer.state.fn == "fit" and not self.trainer.sanity_checking

    def over_processes(self, losses: Tensor) -> Tensor:
        """The epoch's losses of each head (H,), summed over processes, so that all choose alike."""
        return self.trainer.strategy.reduce(losses.clone(), reduce_op="sum")  # type: ignore[return-value]

    def on_validation_epoch_start(self) -> None:
        if self.choosing:
            self.best_head.copy_(self.over_processes(self.loss_per_head).argmin())
        self._best = int(self.best_head)
        self.evaluation.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        name = self.trainer.datamodule.dataloader_mapping[dataloader_idx]  # type: ignore[attr-defined]
        self.evaluation.update(name, self.predictions(images), labels, self._best)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.evaluation.compute(self._best))
