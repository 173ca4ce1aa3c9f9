"""The table of flags that single methods in ``baselines/`` have beside those of discovery; a method names its rows."""

from utils.cli.flag_types import DISCOVER, POSITIVE, Flag

SHARE = (lambda value: 0 <= value <= 1, "between 0 and 1")

BASELINE: dict[str, tuple[Flag, ...]] = {
    "distillation": (
        Flag("kd_temperature", 4.0, "factor of --temperature in the distillation", float, DISCOVER, POSITIVE),
    ),
}
