"""Checkpoints of discovery that hold all that is needed: no file of weights is read when one is loaded."""

from typing import Any

import pytorch_lightning as pl


class SelfContained(pl.LightningModule):
    """A module whose settings may name files of weights; its checkpoint says where they came from and asks for none."""

    @property
    def pretrained_path(self) -> str | None:
        """The weights that the run began with."""
        return self.hparams["pretrained"] or self.hparams["pretrained_from"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        hparams = checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]
        hparams["pretrained"], hparams["pretrained_from"] = None, self.pretrained_path
        if hparams["backbone"] is not None:
            weights = self.hparams["backbone_weights_from"] or self.hparams["backbone_weights"]
            hparams["backbone_weights"], hparams["backbone_weights_from"] = "none", weights
