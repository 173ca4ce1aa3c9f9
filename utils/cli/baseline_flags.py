"""The table of flags that single methods in ``baselines/`` have beside those of discovery; a method names its rows."""

from utils.cli.flag_types import AT_LEAST_ONE, DISCOVER, FACTOR, NOT_NEGATIVE, POSITIVE, Flag

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
    "neighbours": (
        Flag("costhre", 0.95, "cosine above which a pair is alike", float, DISCOVER),
        Flag("m_size", 2000, "rows that each memory holds", int, DISCOVER, AT_LEAST_ONE),
        Flag("m_t", 0.05, "temperature of the contrast with the memory", float, DISCOVER, POSITIVE),
        Flag("w_pos", 0.2, "share of the other view among the positives", float, DISCOVER, FACTOR),
        Flag("knn", None, "neighbours (default: half a class's share of the memory)", int, DISCOVER, AT_LEAST_ONE),
        Flag("w_ncl_la", 0.1, "weight of the labelled contrast", float, DISCOVER, NOT_NEGATIVE),
        Flag("w_ncl_ulb", 1.0, "weight of the unlabelled contrast", float, DISCOVER, NOT_NEGATIVE),
        Flag("hard_negatives", False, "mix far novel and known rows of the memories to negatives", bool, DISCOVER),
        Flag("hard_negative_start", 3, "the first epoch that has them", int, DISCOVER, NOT_NEGATIVE),
        Flag("hard_iter", 5, "known rows that each far row is mixed with", int, DISCOVER, AT_LEAST_ONE),
        Flag("num_hard", 400, "mixtures that are kept", int, DISCOVER, AT_LEAST_ONE),
        Flag("num_far", 50, "far rows of the memory that are mixed", int, DISCOVER, AT_LEAST_ONE),
    ),
    "codes": (
        Flag("wta_codes", 512, "winner-take-all codes of a row", int, DISCOVER, AT_LEAST_ONE),
        Flag("wta_k", 4, "channels that a code compares", int, DISCOVER, AT_LEAST_ONE),
        Flag("wta_threshold", 240, "codes that have to agree", int, DISCOVER, NOT_NEGATIVE),
        Flag("contrast_dim", 128, "dimension of the projections that are contrasted", int, DISCOVER, AT_LEAST_ONE),
        Flag("contrast_temperature", 0.1, "temperature of the contrast", float, DISCOVER, POSITIVE),
    ),
    "mixing": (
        Flag("mix_weight", 1.0, "weight of the mixed images", float, DISCOVER, NOT_NEGATIVE),
        Flag(
            "anchor_confidence", 0.9, "probability above which an unlabelled image is mixed in", float, DISCOVER, FACTOR
        ),
    ),
    "clusters": (
        Flag(
            "dtc",
            "PI",
            "PI: consistent views; TEP: targets from averaged assignments",
            stages=DISCOVER,
            extra={"choices": ["PI", "TEP"]},
        ),
        Flag("warmup_targets", 10, "epochs at the first targets", int, DISCOVER, NOT_NEGATIVE),
        Flag("update_interval", 5, "epochs between two renewals of the targets", int, DISCOVER, AT_LEAST_ONE),
    ),
    "parts": (
        Flag("memory_size", 2048, "rows in the memory of each branch", int, DISCOVER, AT_LEAST_ONE),
        Flag("num_words", 2048, "words of the dictionary", int, DISCOVER, AT_LEAST_ONE),
        Flag("mutual_temperature", 0.07, "temperature of what the branches tell each other", float, DISCOVER, POSITIVE),
    ),
    "experts": (
        Flag("batch_head", True, "batch-wise experts beside the class-wise ones", bool, DISCOVER),
        Flag("queue_size", 500, "rows that the memory of each view and head holds", int, DISCOVER, AT_LEAST_ONE),
        Flag("queue_alpha", 0.5, "share of a row's own target beside its neighbours'", float, DISCOVER, FACTOR),
        Flag("sharp", 0.5, "temperature that sharpens targets", float, DISCOVER, POSITIVE),
        Flag("alpha", 1.0, "weight of the batch-wise experts in a prediction", float, DISCOVER, NOT_NEGATIVE),
    ),
    "distillation": (
        Flag("kd_temperature", 4.0, "factor of --temperature in the distillation", float, DISCOVER, POSITIVE),
    ),
}
