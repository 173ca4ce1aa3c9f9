"""Rows of pretrained backbones and their features in the table of :mod:`utils.cli.discovery_flags`."""

from utils.cli.flag_types import AT_LEAST_ONE, AT_LEAST_ZERO, NCD, NCD_DATA, NCD_TRAINING, NOT_NEGATIVE, READING, Flag

ENCODER: tuple[Flag, ...] = (
    Flag("backbone", None, "pretrained encoder in the place of --arch: lite0 or a model of timm", stages=NCD_DATA),
    Flag("backbone_weights", "pretrained", "pretrained (the published ones), a file, or none", stages=NCD_DATA),
    Flag(
        "backbone_size",
        None,
        "side of the backbone's images in pixels (default: that of its pretrained weights)",
        int,
        NCD_DATA,
        AT_LEAST_ONE,
    ),
    Flag(
        "train",
        None,
        "how much of the backbone is trained (default: frozen, or all with --backbone_weights none)",
        extra={"choices": ["frozen", "last_block", "all"]},
    ),
)
FEATURES: tuple[Flag, ...] = (
    Flag(
        "feature_cache",
        {**dict.fromkeys(READING), "others": "data/features"},
        "folder in which the features of a frozen backbone are kept",
        stages=NCD,
    ),
    Flag(
        "feature_views",
        6,
        "views of each training image whose features are kept; 0: training sees the view of evaluation",
        int,
        NCD_TRAINING,
        AT_LEAST_ZERO,
    ),
    Flag("feature_seed", 0, "seed of those views, apart from --seed", int, NCD_TRAINING, NOT_NEGATIVE),
)
