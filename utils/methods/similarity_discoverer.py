"""Pairs that a similarity network, learnt on labelled rows, calls alike: the form of KCL and MCL. B samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.losses.pairwise import mean_over_pairs, pairs_of
from utils.methods.pair_discoverer import PairDiscoverer, Term
from utils.nets.similarity_net import SimilarityNet


class SimilarityDiscoverer(PairDiscoverer):
    """Its outputs hold ``similar`` (B, B) and ``loss_similarity``; the encoder's features are taken as they are."""

    def __init__(self, **flags: Any) -> None:
        super().__init__(**flags)
        self.similarity = SimilarityNet(self.model.encoder.num_features)

    def outputs(self, views: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        outputs = self.model(views)
        features, mask_lab = outputs["feats"][0].detach(), self.is_labeled(labels)
        log_p = torch.log_softmax(self.similarity(features, mask_lab), dim=-1)  # (B, B, 2)
        errors = -torch.where(labels[:, None] == labels, log_p[..., 1], log_p[..., 0])
        with torch.no_grad():
            answers = self.similarity(features, ~mask_lab).argmax(dim=-1) == 1
        return outputs | {"similar": answers, "loss_similarity": mean_over_pairs(errors, pairs_of(mask_lab))}

    def similar(self, outputs: Mapping[str, Tensor], mask_lab: Tensor) -> Tensor:
        return outputs["similar"]

    def further(self, outputs: Mapping[str, Tensor], labels: Tensor, mask_lab: Tensor) -> dict[str, Term]:
        return {"loss_similarity": (1.0, outputs["loss_similarity"])}
