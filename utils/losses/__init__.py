"""Losses: pure functions from tensors to a tensor."""

from utils.losses.constraints import inter_class_skld, intra_class_skld, mse_consistency
from utils.losses.swapped import swapped_prediction

__all__ = ["inter_class_skld", "intra_class_skld", "mse_consistency", "swapped_prediction"]
