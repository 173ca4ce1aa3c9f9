"""The datamodule of a frozen encoder: features in the place of images, wherever a network looks at them.

Letters: N images of the source, V views, D features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from utils.data.containers import ImageArrays, ImageFiles
from utils.data.discovery_datamodule import NCDDataModule
from utils.data.features.blocks import SourceImages
from utils.data.features.loaders import FeatureEvalLoader, FeatureViewLoader
from utils.data.selection import Subsets
from utils.errors import UserError

VIEWS = "views"  # beside "train" and "test", the features of one view of evaluation


class FeatureDataModule(NCDDataModule):
    """An :class:`NCDDataModule` whose loaders serve features, which it is given after ``setup()`` (:meth:`serve`).

    Training batches hold ``num_large_crops`` of the V cached views of each image, (B, D) float32 each. The images
    themselves stay in ``train_images`` and ``test_images``, for reports.

    Args:
        feature_views: V; 0: the view of evaluation is that of training too.
        **settings: of :class:`NCDDataModule`.

    Attributes (after ``setup()``):
        sources: ``train`` and ``test`` -> all N images of the source, whatever the split.

    Raises:
        UserError: for small crops, and for more views in a batch than there are.
    """

    def __init__(self, *, feature_views: int, **settings: Any) -> None:
        super().__init__(**settings)
        if self.num_small_crops:
            raise UserError(
                "--multicrop means nothing for a frozen encoder: features of large views alone are kept; leave it "
                f"away, and raise --num_large_crops (up to --feature_views {feature_views}) for more views"
            )
        if feature_views == 0 and self.num_large_crops > 1:
            raise UserError(
                f"--num_large_crops {self.num_large_crops}, but with --feature_views 0 the one view of evaluation is "
                "all that is kept of an image; give --num_large_crops 1, or raise --feature_views"
            )
        if self.num_large_crops > max(feature_views, 1):
            raise UserError(
                f"--num_large_crops {self.num_large_crops}, but of each image --feature_views {feature_views} views "
                "are kept; lower the one or raise the other"
            )
        self.feature_views = feature_views
        self.sources: dict[str, SourceImages] = {}
        self.features: Mapping[str, np.ndarray] = {}

    def _keep(self, source: ImageArrays | ImageFiles, subsets: Subsets) -> None:
        in_memory = isinstance(source, ImageArrays)
        self.sources = {
            part: getattr(source, f"{part}_images" if in_memory else f"{part}_paths") for part in ("train", "test")
        }
        self.source_rows = {"train": subsets.train_rows, "test": subsets.test_rows}

    def _check_memory(self) -> None:
        """Batches are of features, which are small."""

    def serve(self, features: Mapping[str, np.ndarray]) -> None:
        """Take the features of all images of the source: ``views`` (N, V, D) if V > 0, ``train``, ``test`` (N, D)."""
        self.features = features

    def describe(self) -> list[str]:
        """As without features, and what is served."""
        lines = super().describe()
        shapes = [f"{name} {' x '.join(f'{n:,}' for n in array.shape)}" for name, array in self.features.items()]
        return [lines[0], f"features  in the place of images: {', '.join(shapes)}", *lines[1:]]

    def train_dataloader(self) -> FeatureViewLoader:  # type: ignore[override]
        """The training batches of this process."""
        self._check_batch_size()
        return FeatureViewLoader(
            self.features[VIEWS] if self.feature_views else self.features["train"][:, None],
            self.source_rows["train"],
            self.training_labels(),
            num_views=self.num_large_crops,
            half_labeled=self.num_labeled_classes if self._half_batches() else None,
            weights=self.image_weights(),
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=self._current_epoch,
            start=self._steps_done,
            **self._place(),
        )

    def evaluation_loader(  # type: ignore[override]
        self, name: str, device: torch.device | str | None = None
    ) -> FeatureEvalLoader:
        """Features with truth, as :meth:`NCDDataModule.evaluation_loader` shows images."""
        part, rows = self.evaluation_rows(name)
        return FeatureEvalLoader(
            self.features[part],
            self.source_rows[part][rows],
            getattr(self, f"{part}_targets")[rows],
            batch_size=self.eval_batch_size,
            **self._place(device),
        )
