"""Losses, pure functions from tensors to a tensor, and Sinkhorn-Knopp.

May import: the modules of ``utils`` itself that all rooms share (errors, files, …); neither Lightning nor argparse.
"""

from utils.losses.clustering import student_t, target_distribution
from utils.losses.constraints import inter_class_skld, intra_class_skld, mse_consistency
from utils.losses.contrastive import feature_loss, instance_loss, normalized_entropy, nt_xent
from utils.losses.distillation import mean_entropy, relation_distillation, self_distillation
from utils.losses.pairwise import kcl, mcl, pair_bce, rank_statistics
from utils.losses.semi_supervised import consistency, labeled_cross_entropy, rampup
from utils.losses.sinkhorn_knopp import SinkhornKnopp
from utils.losses.supervised_contrastive import joint_contrast, sup_con
from utils.losses.swapped import swapped_prediction

__all__ = [
    "SinkhornKnopp",
    "consistency",
    "feature_loss",
    "instance_loss",
    "inter_class_skld",
    "intra_class_skld",
    "joint_contrast",
    "kcl",
    "labeled_cross_entropy",
    "mcl",
    "mean_entropy",
    "mse_consistency",
    "normalized_entropy",
    "nt_xent",
    "pair_bce",
    "rampup",
    "rank_statistics",
    "relation_distillation",
    "self_distillation",
    "student_t",
    "sup_con",
    "swapped_prediction",
    "target_distribution",
]
