"""The encoder: torchvision's ResNet without its classifier, of any width.

B samples a view, D features. BatchNorm statistics are those of one view, as when every view is passed on its own,
although views of one size go through the encoder together.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from utils.errors import UserError
from utils.nets.batch_norm import ViewBatchNorm2d, begin_pass

ARCHITECTURES: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}

ONEDNN_BLOCK = 16  # channels in a block of oneDNN's kernels, at most


class Subsample(nn.Module):
    """Every ``stride``-th row and column: (N, C, h, w) -> (N, C, ceil(h / stride), ceil(w / stride))."""

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        return images[..., :: self.stride[0], :: self.stride[1]]


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
        stage = super()._make_layer(block, planes * self.width // 64, blocks, stride, dilate)
        if stage[0].downsample is not None:
            stage[0].downsample = _safe_downsample(stage[0].downsample)
        return stage

    def forward(self, images: Tensor, num_views: int = 1) -> Tensor:
        """Features (num_views * B, D) of images (num_views * B, 3, h, w), view after view."""
        begin_pass(self.norms, num_views)
        return super().forward(images)


def _safe_downsample(downsample: nn.Sequential) -> nn.Sequential:
    """A shortcut of the same function and parameter names, without strided 1x1 convolutions of few channels.

    In channels-last memory oneDNN takes the strided 1x1 convolution's weight gradient from a buffer that is too short
    when there are fewer channels than in one of its blocks (16 with AVX-512, 8 with AVX2): the process dies of a
    segmentation fault or a damaged heap, or the gradient is wrong. Seen in torch 2.15 on a CPU without AMX; a stride of
    1, larger kernels and contiguous memory are right. Convolving every second pixel is the same function.
    """
    convolution = downsample[0]
    assert isinstance(convolution, nn.Conv2d)
    if convolution.in_channels >= ONEDNN_BLOCK or convolution.stride == (1, 1):
        return downsample
    subsample = Subsample(convolution.stride)
    convolution.stride = (1, 1)
    return nn.Sequential(OrderedDict(subsample=subsample, **dict(downsample.named_children())))
