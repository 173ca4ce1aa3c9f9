"""What Lightning says by itself and nobody needs to read."""

import logging
import warnings

USELESS = (
    "smaller than the logging interval",
    "LeafSpec",
    "sync_dist=True",  # what is logged is reduced already
    "is not resumable",
    "across ranks is zero",  # images of a kind that the data have none of; the start-up screen counts them
    "`srun` command is available",  # one process needs none; utils.devices refuses several without it
    "in eval mode at the start of training",  # the fixed layers of a backbone, which stay there
)


def silence_lightning() -> None:
    """Without its tips, its lists of absent devices and of processes that meet, and the warnings in ``USELESS``."""
    for package in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in USELESS:
        warnings.filterwarnings("ignore", message=f".*{message}", module="pytorch_lightning|lightning_fabric")
