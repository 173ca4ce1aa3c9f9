"""Losses: pure functions from tensors to a tensor."""

from utils.losses.constraints import inter_class_skld, intra_class_skld, mse_consistency
from utils.losses.contrastive import feature_loss, instance_loss, normalized_entropy, nt_xent
from utils.losses.swapped import swapped_prediction

__all__ = [
    "feature_loss",
    "instance_loss",
    "inter_class_skld",
    "intra_class_skld",
    "mse_consistency",
    "normalized_entropy",
    "nt_xent",
    "swapped_prediction",
]
