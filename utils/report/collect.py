"""What a report is made of: the predictions of a checkpoint on its own dataset, and the images behind them.

L labelled and U novel classes.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from utils.data.images import thumbnail
from utils.evaluation.metrics import contingency
from utils.evaluation.predictions import Predictions, output_names, predict
from utils.evaluation.protocols import LOADERS


@dataclass
class Collection:
    """The predictions on the three evaluation sets.

    Args:
        discoverer: the module.
        datamodule: of discovery, set up.
        sets: name of the loader -> predictions; a set without images is None.
    """

    discoverer: Any
    datamodule: Any
    sets: dict[str, Predictions | None]
    _rows: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)

    @property
    def num_labeled(self) -> int:
        """L."""
        return self.discoverer.num_labeled

    @property
    def generalized(self) -> bool:
        """Whether the unlabelled images may be of known classes too: then all outputs are one list everywhere."""
        return self.discoverer.generalized

    @property
    def num_novel(self) -> int:
        """U, the outputs of a head."""
        return self.discoverer.hparams["num_unlabeled_classes"]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, known ones first, as far as there is truth."""
        return self.datamodule.class_names

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the L+U outputs."""
        return output_names({**self.discoverer.hparams, "class_names": list(self.datamodule.split.labeled_names)})

    @cached_property
    def novel_set(self) -> str:
        """The set on which novel classes are judged: test images where there are some with truth, else training's."""
        test = self.sets["unlab/test"]
        return "unlab/test" if test is not None and (test.labels >= 0).any() else "unlab/train"

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """The sets of the joint confusion matrix: the test images; if generalized, the heap where it has truth."""
        heap = self.sets["unlab/train"]
        of_heap = self.generalized and heap is not None and (heap.labels >= 0).any()
        return ("unlab/train",) if of_heap else ("lab/test", "unlab/test")

    @property
    def judged_text(self) -> str:
        """What they are, for captions."""
        return "unlabelled training images" if self.judged == ("unlab/train",) else "test images"

    @cached_property
    def aware_table(self) -> np.ndarray:
        """Counts (novel classes, U): truth against the cluster of the best head (task-aware); none if generalized."""
        found = self.sets[self.novel_set]
        if found is None or self.generalized:
            return np.zeros((0, self.num_novel), np.int64)
        known = found.labels >= 0
        return self._table(found.labels[known] - self.num_labeled, found.cluster[known], 0)

    @cached_property
    def agnostic_table(self) -> np.ndarray:
        """Counts (all classes, L+U): truth against the output among all (task-agnostic), of the ``judged`` sets."""
        found = [part for part in map(self.sets.get, self.judged) if part is not None]
        labels = np.concatenate([part.labels for part in found] or [np.zeros(0, np.int64)])
        outputs = np.concatenate([part.output for part in found] or [np.zeros(0, np.int64)])
        return self._table(labels[labels >= 0], outputs[labels >= 0], self.num_labeled)

    def _table(self, labels: np.ndarray, outputs: np.ndarray, first: int) -> np.ndarray:
        counts = contingency(labels, outputs)
        classes = len(self.names) - (self.num_labeled - first)
        full = np.zeros((max(classes, len(counts)), first + self.num_novel), np.int64)
        full[: counts.shape[0], : counts.shape[1]] = counts
        return full

    def picture(self, name: str, row: int, side: int) -> np.ndarray:
        """Image (h, w, 3) uint8 of a row of a set's predictions: of a file the original, brought to ``side`` pixels."""
        part, row = self._place(name, row)
        file = getattr(self.datamodule, f"{part}_names").file(row)
        if file is not None:
            return thumbnail(file, side)
        return getattr(self.datamodule, f"{part}_images")[row].permute(1, 2, 0).cpu().numpy()

    def file_name(self, name: str, row: int) -> str:
        """The file of a row, or its position in the dataset's own array (``train 17``) where there are no files."""
        part, row = self._place(name, row)
        return getattr(self.datamodule, f"{part}_names")[row]

    def _place(self, name: str, row: int) -> tuple[str, int]:
        """``train`` or ``test``, and the position of a row of a set among the datamodule's images there."""
        if name not in self._rows:  # 1,600 tiles of ImageNet would look through its labels as often
            self._rows[name] = self.datamodule.evaluation_rows(name)
        part, rows = self._rows[name]
        return part, int(rows[row])

    def class_name(self, label: int) -> str:
        """Name of a true label; empty where nobody knows."""
        return self.names[label] if 0 <= label < len(self.names) else ""


def collect(discoverer: Any, datamodule: Any, device: torch.device | str = "cpu") -> Collection:
    """Run a discovery module over its evaluation sets, on one device and in one process."""
    discoverer.to(device)
    sets = {name: predict(discoverer, datamodule.evaluation_loader(name, device)) for name in LOADERS}
    return Collection(discoverer, datamodule, sets)
