"""The table of flags that single methods in ``baselines/`` have beside those of discovery; a method names its rows."""

from utils.cli.flag_types import AT_LEAST_ONE, DISCOVER, NOT_NEGATIVE, POSITIVE, Flag

SHARE = (lambda value: 0 <= value <= 1, "between 0 and 1")

BASELINE: dict[str, tuple[Flag, ...]] = {
    "pairs": (
        Flag("rampup_length", 50, "epochs until consistency has its whole weight", int, DISCOVER, NOT_NEGATIVE),
        Flag("rampup_coefficient", 5.0, "weight of the consistency of two views", float, DISCOVER, NOT_NEGATIVE),
        Flag("freeze_early", True, "train the last stage of a pretrained ResNet and the heads alone", bool, DISCOVER),
        Flag("topk", 5, "largest features whose set has to be the same", int, DISCOVER, AT_LEAST_ONE),
        Flag(
            "increment_coefficient",
            0.05,
            "weight of novel rows in the head of all classes",
            float,
            DISCOVER,
            NOT_NEGATIVE,
        ),
        Flag("margin", 2.0, "divergence above which a pair is apart, in nats", float, DISCOVER, NOT_NEGATIVE),
    ),
    "experts": (
        Flag("batch_head", True, "batch-wise experts beside the class-wise ones", bool, DISCOVER),
        Flag("queue_size", 500, "rows that the memory of each view and head holds", int, DISCOVER, AT_LEAST_ONE),
        Flag("queue_alpha", 0.5, "share of a row's own target beside its neighbours'", float, DISCOVER, SHARE),
        Flag("sharp", 0.5, "temperature that sharpens targets", float, DISCOVER, POSITIVE),
        Flag("alpha", 1.0, "weight of the batch-wise experts in a prediction", float, DISCOVER, NOT_NEGATIVE),
    ),
    "distillation": (
        Flag("kd_temperature", 4.0, "factor of --temperature in the distillation", float, DISCOVER, POSITIVE),
    ),
}
