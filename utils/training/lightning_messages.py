"""What Lightning says by itself and nobody needs to read."""

import logging
import warnings

# The last one but one asks for a reduction, but what is logged is reduced already.
USELESS = ("smaller than the logging interval", "LeafSpec", "sync_dist=True", "is not resumable")


def silence_lightning() -> None:
    """Without its tips, its list of devices that are not there, and the warnings in ``USELESS``."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in USELESS:
        warnings.filterwarnings("ignore", message=f".*{message}", module="pytorch_lightning")
