"""Networks: a ResNet with one labelled and many unlabelled prototype heads (UNO v2, arXiv:2108.08536).

V views, B samples a view, H heads, D features, P projected features, K prototypes. BatchNorm statistics are those of
one view, as when every view is passed on its own, although views of one size go through the encoder together.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from utils.errors import UserError
from utils.nets.batch_norm import HeadBatchNorm1d, ViewBatchNorm2d, group_batch_norm
from utils.nets.group_linear import group_linear

ARCHITECTURES: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}


class Encoder(ResNet):
    """torchvision's ResNet without its classifier, of any width; parameter names are torchvision's.

    Args:
        arch: a key of ``ARCHITECTURES``.
        low_res: a 3x3 stem of stride 1 and no max-pooling, for images of about 32 pixels.
        width: channels of the first stage (64 in the published networks).

    Raises:
        UserError: for an unknown architecture.
    """

    def __init__(self, arch: str, low_res: bool = False, width: int = 64) -> None:
        if arch not in ARCHITECTURES:
            raise UserError(f"unknown --arch '{arch}'; known are {', '.join(ARCHITECTURES)}")
        block, layers = ARCHITECTURES[arch]
        self.width = width
        super().__init__(block, layers, norm_layer=ViewBatchNorm2d)
        kernel_size, stride = (3, 1) if low_res else (7, 2)
        self.conv1 = nn.Conv2d(3, width, kernel_size, stride, padding=kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = ViewBatchNorm2d(width)
        if low_res:
            self.maxpool = nn.Identity()
        self.num_features = width * 8 * block.expansion
        self.fc = nn.Identity()
        self.norms = [module for module in self.modules() if isinstance(module, ViewBatchNorm2d)]

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):  # called by torchvision with 64, 128, …
        if planes == 64:
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, blocks, stride, dilate)

    def forward(self, images: Tensor, num_views: int = 1) -> Tensor:
        """Features (num_views * B, D) of images (num_views * B, 3, h, w), view after view."""
        for norm in self.norms:
            norm.num_views = num_views
        return super().forward(images)


class Prototypes(nn.Module):
    """A bank of prototypes: logits are cosines with features, since both are normalised."""

    def __init__(self, num_features: int, num_prototypes: int) -> None:
        super().__init__()
        self.prototypes = nn.Linear(num_features, num_prototypes, bias=False)

    @torch.no_grad()
    def normalize_prototypes(self) -> None:
        """Put every prototype on the unit sphere."""
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        return self.prototypes(features)


class MLP(nn.Module):
    """Parameters of one head's projector: (Linear, BatchNorm, ReLU) x num_hidden_layers, then Linear."""

    def __init__(self, num_features: int, hidden_dim: int, proj_dim: int, num_hidden_layers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_hidden_layers):
            layers += [nn.Linear(num_features, hidden_dim), HeadBatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
            num_features = hidden_dim
        self.mlp = nn.Sequential(*layers, nn.Linear(num_features, proj_dim))


class MultiHead(nn.Module):
    """A bank of H projectors with prototypes each, computed by :func:`forward_banks`.

    Every head has its own modules, so that the names in a ``state_dict`` are the published ones.
    """

    def __init__(
        self,
        num_features: int,
        hidden_dim: int,
        proj_dim: int,
        num_prototypes: int,
        num_heads: int,
        num_hidden_layers: int,
    ) -> None:
        super().__init__()
        self.projectors = nn.ModuleList(
            MLP(num_features, hidden_dim, proj_dim, num_hidden_layers) for _ in range(num_heads)
        )
        self.prototypes = nn.ModuleList(Prototypes(proj_dim, num_prototypes) for _ in range(num_heads))

    def forward(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """From features (V, B, D) to logits (V, H, B, K) and normalised projections (V, H, B, P)."""
        return forward_banks([self], feats)[0]


def forward_banks(banks: Sequence[MultiHead], feats: Tensor) -> list[tuple[Tensor, Tensor]]:
    """All heads of all banks in grouped matrix products: one product a layer instead of one for each head.

    Args:
        banks: with projectors of the same sizes; their numbers K of prototypes may differ.
        feats: (V, B, D).

    Returns:
        for each bank logits (V, H, B, K) and normalised projections (V, H, B, P).
    """
    num_views, batch_size, _ = feats.shape
    projectors = [projector for bank in banks for projector in bank.projectors]  # G heads of all banks
    x = feats.flatten(0, 1).expand(len(projectors), -1, -1)  # (G, V*B, D)
    for layer in zip(*(projector.mlp for projector in projectors), strict=True):  # its G modules
        if isinstance(layer[0], nn.Linear):
            x = group_linear(x, layer)
        elif isinstance(layer[0], HeadBatchNorm1d):
            x = group_batch_norm(x.unflatten(1, (num_views, batch_size)), layer).flatten(1, 2)
        else:
            x = F.relu(x, inplace=True)
    shape = (num_views, batch_size)
    outputs = []
    with torch.autocast(x.device.type, enabled=False):  # cosines / 0.05 need more than 8 bits of mantissa
        x = F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
        for bank, projections in zip(banks, x.split([len(bank.projectors) for bank in banks]), strict=True):
            weight = torch.stack([head.prototypes.weight for head in bank.prototypes])  # type: ignore[union-attr, misc]  # (H, K, P)
            logits = projections @ weight.mT.to(x.dtype)  # (H, V*B, K)
            outputs.append(tuple(y.unflatten(1, shape).transpose(0, 1) for y in (logits, projections)))
    return outputs


class MultiHeadResNet(nn.Module):
    """Encoder, labelled head, and two banks of unlabelled heads: of U and of U * overcluster_factor prototypes.

    Args:
        arch, low_res, width: see :class:`Encoder`.
        num_labeled: L.
        num_unlabeled: U; ignored without heads.
        hidden_dim, proj_dim, num_hidden_layers: of the projectors.
        overcluster_factor: prototypes of the second bank for each one of the first.
        num_heads: H; 0 or None builds the pretraining network, which has the labelled head alone.
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
    ) -> None:
        super().__init__()
        self.encoder = Encoder(arch, low_res, width)
        features = self.encoder.num_features
        self.head_lab = Prototypes(features, num_labeled)
        self.num_heads = num_heads or 0
        if self.num_heads:
            sizes = {"hidden_dim": hidden_dim, "proj_dim": proj_dim}
            counts = {"num_heads": self.num_heads, "num_hidden_layers": num_hidden_layers}
            self.head_unlab = MultiHead(features, **sizes, num_prototypes=num_unlabeled, **counts)
            self.head_unlab_over = MultiHead(
                features, **sizes, num_prototypes=num_unlabeled * overcluster_factor, **counts
            )
        self.to(memory_format=torch.channels_last)
        self.banks = [module for module in self.modules() if isinstance(module, Prototypes)]

    def normalize_prototypes(self) -> None:
        """Normalise the prototypes of all heads; called before every training step."""
        for bank in self.banks:
            bank.normalize_prototypes()

    def forward(self, views: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Features and logits.

        Args:
            views: V images (B, 3, h, w) of any sizes, or one such tensor.

        Returns:
            ``feats`` (V, B, D), ``logits_lab`` (V, B, L) and, with heads, ``logits_unlab`` (V, H, B, U),
            ``logits_unlab_over`` (V, H, B, U * overcluster_factor), ``proj_feats_unlab`` and
            ``proj_feats_unlab_over`` (V, H, B, P); without the leading V for one tensor.
        """
        if isinstance(views, Tensor):
            return {name: value[0] for name, value in self.forward([views]).items()}
        feats = self.encode(views)
        with torch.autocast(feats.device.type, enabled=False):
            full = feats.to(torch.promote_types(feats.dtype, torch.float32))
            logits_lab = self.head_lab(F.normalize(full, dim=-1).to(self.head_lab.prototypes.weight.dtype))
        outputs = {"feats": feats, "logits_lab": logits_lab}
        if self.num_heads:
            banks = forward_banks([self.head_unlab, self.head_unlab_over], feats)
            for name, (logits, projections) in zip(("unlab", "unlab_over"), banks, strict=True):
                outputs |= {f"logits_{name}": logits, f"proj_feats_{name}": projections}
        return outputs

    def encode(self, views: Sequence[Tensor]) -> Tensor:
        """Features (V, B, D) of V views; neighbours of one size share a pass through the encoder."""
        groups: list[list[Tensor]] = []
        for view in views:
            if groups and groups[-1][0].shape == view.shape:
                groups[-1].append(view)
            else:
                groups.append([view])
        feats = [self.encoder(torch.cat(group), len(group)).unflatten(0, (len(group), -1)) for group in groups]
        return torch.cat(feats)
