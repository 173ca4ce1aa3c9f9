"""ComEx's network: UNO v2's, with batch-wise experts beside the class-wise ones (Yang et al., CVPR 2022).

V views, B samples a view, L labelled and U unlabelled classes, D features.
"""

from typing import Any

from torch import Tensor

from utils.nets.heads import MultiHead, Prototypes
from utils.nets.multi_head_resnet import MultiHeadResNet


class ComExNet(MultiHeadResNet):
    """A bank of L+U cosines without a projector, and two banks of heads with L+U and L+U*overcluster_factor prototypes.

    ``forward`` gives ``logits_batch_lab`` (V, B, L+U), ``logits_batch_unlab`` (V, H, B, L+U) and
    ``logits_batch_unlab_over`` too, with their projections.

    Args:
        batch_experts: whether there are any.
        **sizes: of :class:`~utils.nets.multi_head_resnet.MultiHeadResNet`.
    """

    def __init__(self, batch_experts: bool, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.batch_experts = batch_experts
        if not batch_experts:
            return
        features, labeled, unlabeled = self.encoder.num_features, sizes["num_labeled"], sizes["num_unlabeled"]
        heads = {name: sizes[name] for name in ("hidden_dim", "proj_dim", "num_heads", "num_hidden_layers")}
        over = labeled + unlabeled * sizes["overcluster_factor"]
        self.head_batch_lab = Prototypes(features, labeled + unlabeled)
        self.head_batch_unlab = MultiHead(features, num_prototypes=labeled + unlabeled, **heads)
        self.head_batch_unlab_over = MultiHead(features, num_prototypes=over, **heads)
        self.novel_banks |= {"batch_unlab": self.head_batch_unlab, "batch_unlab_over": self.head_batch_unlab_over}
        self.complete()

    def cosines(self, unit: Tensor) -> dict[str, Tensor]:
        batch = {"logits_batch_lab": self.head_batch_lab(unit)} if self.batch_experts else {}
        return super().cosines(unit) | batch
