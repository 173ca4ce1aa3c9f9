"""The earlier methods' common objective: pairs of unlabelled images that are, or are not, of one novel class.

Published as AutoNovel (Han et al., ICLR 2020, arXiv:2002.05714). B samples, two views of each, L labelled and U
unlabelled classes, D features.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from utils.data.randomness import Stream, stream_seed
from utils.errors import UserError
from utils.losses.pairwise import pair_bce, pairs_of, rank_statistics
from utils.losses.precision import full
from utils.losses.semi_supervised import consistency, labeled_cross_entropy, rampup
from utils.methods.discoverer import Discoverer
from utils.nets.cosine_net import CosineNet
from utils.nets.pretrained_weights import freeze_early

Term = tuple[float | Tensor, Tensor]


class PairDiscoverer(Discoverer):
    """Cross-entropy on labelled rows, a loss on pairs of unlabelled rows, consistency of both views.

    ``loss = supervised + pairs + coefficient * ramp * consistency + further terms``; a method says by which rule pairs
    are similar (:meth:`similar`), how they are judged (:meth:`pair_loss`), and what is added (:meth:`further`).

    Raises:
        UserError: for more than one head, or another number of views than two.
    """

    model: CosineNet
    ramp: Tensor  # of the consistency term in this epoch

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        name = self.hparams["baseline"]
        if self.hparams["num_heads"] != 1:
            raise UserError(f"--num_heads is {self.hparams['num_heads']} but {name} has one head")
        if self.hparams["multicrop"] or self.hparams["num_large_crops"] != 2:
            raise UserError(f"{name} compares two views: leave --multicrop away and --num_large_crops at 2")
        self.register_buffer("ramp", torch.tensor(1.0))
        freeze_early(self.model.encoder, self.hparams)

    def network(self, **sizes: Any) -> CosineNet:
        return CosineNet(**sizes)

    # The objective

    def similar(self, outputs: Mapping[str, Tensor], mask_lab: Tensor) -> Tensor:
        """Which pairs (B, B) are of one class; those of unlabelled rows count."""
        return rank_statistics(outputs["feats"][0], self.hparams["topk"])

    def pair_loss(self, first: Tensor, second: Tensor, similar: Tensor, mask: Tensor) -> Tensor:
        """Scalar, from distributions (B, U) of both views, and the pairs that are similar and that count."""
        return pair_bce(first, second, similar, mask)

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        """Name of a logged term -> weight and value."""
        return {}

    def compute_losses(self, outputs: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """As every Discoverer's: ``loss_cluster`` is the loss on pairs; the outputs are of two views."""
        mask_lab = self.is_labeled(labels)
        temperature = self.hparams["temperature"]
        supervised = labeled_cross_entropy(outputs["logits_lab"][0], labels, mask_lab, temperature)
        first, second = self.distributions(outputs["logits_unlab"][:, 0])
        similar = self.similar(outputs, mask_lab)
        pairs = self.pair_loss(first, second, similar, pairs_of(~mask_lab))
        agreement = consistency(*self.distributions(outputs["logits_lab"])) + consistency(first, second)
        losses = {
            "loss": supervised + pairs + self.hparams["rampup_coefficient"] * self.ramp * agreement,
            "loss_cluster": pairs,
            "loss_supervised": supervised,
            "loss_consistency": agreement,
        }
        for name, (weight, value) in self.further(outputs, labels, mask_lab).items():
            losses["loss"] = losses["loss"] + weight * value
            losses[name] = value
        return losses | {"loss_per_head": pairs.detach()[None]}

    def distributions(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax of two views' logits (2, B, K), at least in float32."""
        return torch.softmax(full(logits) / self.hparams["temperature"], dim=-1).unbind()  # type: ignore[return-value]

    # The loop

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.ramp.fill_(rampup(self.current_epoch, self.hparams["rampup_length"]))

    def generator(self) -> torch.Generator:
        """Random numbers of this step on the device: a function of (seed, epoch, step, process)."""
        generator = torch.Generator(device=self.device)
        if self._trainer is None:  # a module alone
            return generator.manual_seed(self.hparams["seed"])
        batch = self.trainer.fit_loop.epoch_loop.batch_idx
        numbers = self.hparams["seed"], self.current_epoch, batch, self.global_rank
        return generator.manual_seed(stream_seed(Stream.METHOD, *numbers))
