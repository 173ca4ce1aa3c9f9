"""Networks: encoders, heads, their BatchNorm and grouped layers, pretrained weights.

May import: losses, transforms, and the modules of ``utils`` itself that all rooms share (errors, files, …).
"""

from utils.nets.multi_head_resnet import MultiHeadResNet

__all__ = ["MultiHeadResNet"]
