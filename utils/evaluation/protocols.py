"""What a discovery run is judged by, under the three protocols (design: task-aware, incremental, joint).

H heads, B samples, L labelled and U unlabelled classes.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from utils.evaluation.metrics import ClusterMetrics, known_and_novel_acc

LOADERS = ("unlab/train", "unlab/test", "lab/test")


class DiscoveryEvaluation:
    """Collects predictions of the evaluation loaders and turns them into the logged metrics.

    - ``unlab/*``: argmax over the U novel outputs, Hungarian, every head (task-aware).
    - ``lab/test``: argmax over the L known outputs (task-aware).
    - ``incremental/*``: argmax over all L+U outputs; for known samples the labelled head beside the best head. Novel
      samples are matched by a Hungarian of their own, as published.
    - ``joint/*``: the same predictions of the best head on all test samples, with one Hungarian over known and novel
      together: the share that is right of the known (``joint/lab``), the novel, and all.

    Args:
        num_heads: H.
        num_labeled: L.
    """

    def __init__(self, num_heads: int, num_labeled: int) -> None:
        self.num_heads = num_heads
        self.num_labeled = num_labeled
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.metrics: dict[str, ClusterMetrics] = {}
        for name in LOADERS:
            heads = self.num_heads if name.startswith("unlab") else 1
            self.metrics |= {name: ClusterMetrics(heads), f"incremental/{name}": ClusterMetrics(heads)}
        self.metrics["joint"] = ClusterMetrics(1)

    def update(self, loader: str, outputs: Mapping[str, Tensor], labels: Tensor, best_head: int) -> None:
        """Add a batch.

        Args:
            loader: one of ``LOADERS``.
            outputs: of the network for one view: ``logits_lab`` (B, L) and ``logits_unlab`` (H, B, U); ``logits_all``
                (H, B, L+U) where those among all classes are others.
            labels: (B,) in 0..L+U-1, or -1 where the truth is not known.
            best_head: the head that speaks for the model.
        """
        logits_lab, logits_unlab = outputs["logits_lab"], outputs["logits_unlab"]
        side_by_side = torch.cat([logits_lab.expand(self.num_heads, -1, -1), logits_unlab], dim=-1)
        all_logits = outputs.get("logits_all", side_by_side)  # (H, B, L+U)
        preds = all_logits.argmax(dim=-1)  # (H, B)
        best = preds[best_head : best_head + 1]
        if loader.startswith("unlab"):
            self.metrics[loader].update(logits_unlab.argmax(dim=-1), labels)
            self.metrics[f"incremental/{loader}"].update(preds, labels)
        else:
            self.metrics[loader].update(logits_lab.argmax(dim=-1)[None], labels)
            self.metrics[f"incremental/{loader}"].update(best, labels)
        if loader.endswith("test"):
            self.metrics["joint"].update(best, labels)

    def compute(self, best_head: int) -> dict[str, float]:
        """Logged key -> value; keys that need a truth which is nowhere known are absent. Equal on all processes."""
        results: dict[str, float] = {}
        for name, metric in self.metrics.items():
            if "unlab" in name:
                for key, values in metric.compute().items():
                    results |= {f"{name}/{key}/avg": float(np.mean(values)), f"{name}/{key}/best": values[best_head]}
            elif "lab" in name:
                table = metric.tables()[0]
                if table.sum():
                    results[f"{name}/acc"] = float(np.trace(table) / table.sum())
        return results | self._joint()

    def _joint(self) -> dict[str, float]:
        """One Hungarian matching over the known and the novel test samples together."""
        self.joint_table = table = self.metrics["joint"].tables()[0]  # (classes, predictions)
        names = {"old": "lab", "new": "novel", "all": "all"}
        shares = known_and_novel_acc(table, self.num_labeled)
        return {f"joint/{shown}": shares[name] for name, shown in names.items() if name in shares}
