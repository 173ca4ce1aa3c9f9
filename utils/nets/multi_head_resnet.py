"""The network of UNO v2 (arXiv:2108.08536): an encoder with one labelled and many unlabelled prototype heads.

V views, B samples a view, H heads, D features, P projected features, K prototypes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.losses.precision import full
from utils.nets.encoder import Encoder
from utils.nets.heads import MultiHead, Prototypes, forward_banks


class MultiHeadResNet(nn.Module):
    """Encoder, labelled head, and two banks of unlabelled heads: of U and of U * overcluster_factor prototypes.

    Args:
        arch, low_res, width: see :class:`Encoder`; not looked at where ``encoder`` is given.
        num_labeled: L.
        num_unlabeled: U; ignored without heads.
        hidden_dim, proj_dim, num_hidden_layers: of the projectors.
        overcluster_factor: prototypes of the second bank for each one of the first; 0: there is none.
        unit_features: whether projectors see features of length 1, as in the first version of UNO.
        num_heads: H; 0 or None builds the pretraining network, which has the labelled head alone.
        encoder: takes the place of the ResNet; called as ``encoder(images, num_views)``, and has ``num_features``.
    """

    def __init__(
        self,
        arch: str,
        low_res: bool,
        num_labeled: int,
        num_unlabeled: int,
        hidden_dim: int = 2048,
        proj_dim: int = 256,
        overcluster_factor: int = 3,
        num_heads: int | None = 5,
        num_hidden_layers: int = 1,
        width: int = 64,
        encoder: nn.Module | None = None,
        unit_features: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Any = Encoder(arch, low_res, width) if encoder is None else encoder
        features: Any = self.encoder.num_features
        self.head_lab = Prototypes(features, num_labeled)
        self.num_heads = num_heads or 0
        self.unit_features = unit_features
        self.novel_banks: dict[str, MultiHead] = {}  # with projectors; by the end of their outputs' names
        if self.num_heads:
            sizes = {"hidden_dim": hidden_dim, "proj_dim": proj_dim}
            counts = {"num_heads": self.num_heads, "num_hidden_layers": num_hidden_layers}
            self.head_unlab = MultiHead(features, **sizes, num_prototypes=num_unlabeled, **counts)
            self.novel_banks["unlab"] = self.head_unlab
            if overcluster_factor:
                self.head_unlab_over = MultiHead(
                    features, **sizes, num_prototypes=num_unlabeled * overcluster_factor, **counts
                )
                self.novel_banks["unlab_over"] = self.head_unlab_over
        self.complete()

    def complete(self) -> None:
        """Called when all heads are there, last in a constructor."""
        self.to(memory_format=torch.channels_last)
        self.banks = [module for module in self.modules() if isinstance(module, Prototypes)]

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        """Put all heads' prototypes on the unit sphere, those of one length at once; before every training step."""
        by_length: dict[int, list[Tensor]] = {}
        for bank in self.banks:
            by_length.setdefault(bank.prototypes.in_features, []).append(bank.prototypes.weight)
        for weights in by_length.values():
            unit = F.normalize(torch.cat(weights), dim=1)
            torch._foreach_copy_(weights, list(unit.split([len(weight) for weight in weights])))

    def prototype_lengths(self, head: int) -> Tensor:
        """Lengths (L+U,) of the prototypes behind the logits of a head: 1 but for the last training step."""
        banks: Sequence[Any] = (self.head_lab, self.head_unlab.prototypes[head])
        return torch.cat([bank.prototypes.weight.norm(dim=1) for bank in banks])

    def keep_head(self, head: int) -> "MultiHeadResNet":
        """Leave one unlabelled head, for predictions alone; a network without projectors has no more than one."""
        if self.novel_banks:
            self.novel_banks = {"unlab": self.head_unlab}
            for name in ("projectors", "prototypes"):
                setattr(self.head_unlab, name, nn.ModuleList([getattr(self.head_unlab, name)[head]]))
        return self

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Features and logits.

        Args:
            views: V images (B, 3, h, w) of any sizes, or one such tensor; or features (B, D) in their place.

        Returns:
            ``feats`` (V, B, D), ``logits_lab`` (V, B, L) and, with heads, ``logits_unlab`` (V, H, B, U),
            ``logits_unlab_over`` (V, H, B, U * overcluster_factor), ``proj_feats_unlab`` and
            ``proj_feats_unlab_over`` (V, H, B, P); without the leading V for one tensor.
        """
        if isinstance(views, Tensor):
            return {name: value[0] for name, value in self.forward([views]).items()}
        feats = self.encode(views)
        with torch.autocast(feats.device.type, enabled=False):
            unit = F.normalize(full(feats), dim=-1)
            outputs = {"feats": feats, **self.cosines(unit.to(self.head_lab.prototypes.weight.dtype))}
        if self.num_heads:
            banks = forward_banks(list(self.novel_banks.values()), unit if self.unit_features else feats)
            for name, (logits, projections) in zip(self.novel_banks, banks, strict=True):
                outputs |= {f"logits_{name}": logits, f"proj_feats_{name}": projections}
        return outputs

    def cosines(self, unit: Tensor) -> dict[str, Tensor]:
        """Logits of the banks that see features (V, B, D) of length 1 without a projector."""
        return {"logits_lab": self.head_lab(unit)}

    def encode(self, views: Sequence[Tensor]) -> Tensor:
        """Features (V, B, D) of V views; neighbours of one size share a pass through the encoder.

        A view of two dimensions (B, D) is one of features already, as a fixed encoder has given them before.
        """
        groups: list[list[Tensor]] = []
        for view in views:
            if groups and groups[-1][0].shape == view.shape:
                groups[-1].append(view)
            else:
                groups.append([view])
        return torch.cat([torch.stack(group) if group[0].ndim == 2 else self._encode(group) for group in groups])

    def _encode(self, views: Sequence[Tensor]) -> Tensor:
        """Features (V, B, D) of V images of one size."""
        return self.encoder(torch.cat(list(views)), len(views)).unflatten(0, (len(views), -1))
