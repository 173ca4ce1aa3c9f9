"""Losses, pure functions from tensors to a tensor, and Sinkhorn-Knopp.

May import: the modules of ``utils`` itself that all rooms share (errors, files, …); neither Lightning nor argparse.
"""

from utils.losses.constraints import inter_class_skld, intra_class_skld, mse_consistency
from utils.losses.contrastive import feature_loss, instance_loss, normalized_entropy, nt_xent
from utils.losses.distillation import mean_entropy, self_distillation
from utils.losses.sinkhorn_knopp import SinkhornKnopp
from utils.losses.supervised_contrastive import sup_con
from utils.losses.swapped import swapped_prediction

__all__ = [
    "SinkhornKnopp",
    "feature_loss",
    "instance_loss",
    "inter_class_skld",
    "intra_class_skld",
    "mean_entropy",
    "mse_consistency",
    "normalized_entropy",
    "nt_xent",
    "self_distillation",
    "sup_con",
    "swapped_prediction",
]
