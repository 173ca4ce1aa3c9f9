"""The encoder: torchvision's ResNet without its classifier, of any width.

B samples a view, D features. BatchNorm statistics are those of one view, as when every view is passed on its own,
although views of one size go through the encoder together.
"""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from utils.errors import UserError
from utils.nets.batch_norm import ViewBatchNorm2d

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
