"""Rows of generalized discovery (SimGCD) in the table of :mod:`utils.cli.discovery_flags`, by their group there."""

from utils.cli.flag_types import AT_LEAST_ZERO, FACTOR, GENERALIZED, NOT_NEGATIVE, POSITIVE, SHARE, Flag

SETTINGS = ["ncd", "gcd"]

SETTING: tuple[Flag, ...] = (
    Flag(
        "setting",
        {"gcd": "gcd", "others": "ncd"},
        "the unlabelled images are of novel classes alone (ncd), or of known and novel ones (gcd)",
        stages=("pretrain", "gcd", "features"),
        extra={"choices": SETTINGS},
    ),
    Flag(
        "prop_train_labels",
        0.5,
        "with --setting gcd: share of the labelled classes' training images that keep their label, drawn by "
        "--seed; data that hold images nobody has labelled keep all",
        float,
        ("pretrain", "gcd", "features"),
        SHARE,
    ),
)
SAMPLING: tuple[Flag, ...] = (
    Flag(
        "sampler",
        None,
        "images of an epoch: shuffled, or as published drawn with replacement, labelled and unlabelled ones alike "
        "often (balanced) (default: shuffled on frozen features, else balanced)",
        stages=GENERALIZED,
        extra={"choices": ["shuffled", "balanced"]},
    ),
)
HEAD: tuple[Flag, ...] = (
    Flag(
        "num_mlp_layers",
        None,
        "layers of the projector of the contrastive terms; 0: neither it nor they (default: 0 on frozen features, "
        "else 3)",
        int,
        GENERALIZED,
        AT_LEAST_ZERO,
    ),
    Flag(
        "standardize",
        None,
        "standardise features before the head (default: on frozen features)",
        bool,
        GENERALIZED,
    ),
)
OBJECTIVE: tuple[Flag, ...] = (
    Flag("sup_weight", 0.35, "weight of the supervised terms; the others have the rest", float, GENERALIZED, FACTOR),
    Flag(
        "memax_weight",
        None,
        "weight of the mean prediction's entropy (default: 4 on frozen features, else 2)",
        float,
        GENERALIZED,
        NOT_NEGATIVE,
    ),
    Flag("warmup_teacher_temp", 0.07, "temperature of the teacher at first", float, GENERALIZED, POSITIVE),
    Flag("teacher_temp", 0.04, "temperature of the teacher after its warm-up", float, GENERALIZED, POSITIVE),
    Flag(
        "warmup_teacher_temp_epochs",
        None,
        "epochs from the one temperature to the other (default: 15 on frozen features, else 30)",
        int,
        GENERALIZED,
        AT_LEAST_ZERO,
    ),
)
