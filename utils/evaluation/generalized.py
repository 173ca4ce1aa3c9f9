"""What generalized discovery is judged by: all classes in one list, known and novel images matched together.

B samples, L known and U novel classes.
"""

from torch import Tensor

from utils.evaluation.metrics import ClusterMetrics, known_and_novel_acc, table_metrics

HEAP, TEST = "unlab/train", "test"


class GeneralizedEvaluation:
    """Collects predictions of the evaluation loaders and turns them into the logged metrics.

    - ``unlab/train/acc/all``, ``old`` and ``new``: the unlabelled training images, one Hungarian matching over them
      all ("v2" of GCD); ``unlab/train/nmi`` and ``ari`` of the same clusters.
    - ``test/acc/all``, ``old`` and ``new``, ``test/nmi``, ``test/ari``: the same for all test images.

    Args:
        num_labeled: L.

    Attributes:
        joint_table: counts (classes, outputs) of the test images, or of the unlabelled training images without any.
    """

    def __init__(self, num_labeled: int) -> None:
        self.num_labeled = num_labeled
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.metrics = {HEAP: ClusterMetrics(1), TEST: ClusterMetrics(1)}

    def update(self, loader: str, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            loader: ``unlab/train``, ``unlab/test`` or ``lab/test``.
            logits: (B, L+U).
            labels: (B,) in 0..L+U-1, or -1 where the truth is not known.
        """
        self.metrics[HEAP if loader == HEAP else TEST].update(logits.argmax(dim=-1)[None], labels)

    def compute(self) -> dict[str, float]:
        """Logged key -> value; keys that need a truth which is nowhere known are absent. Equal on all processes."""
        results: dict[str, float] = {}
        tables = {name: metric.tables()[0] for name, metric in self.metrics.items()}
        for name, table in tables.items():
            shares = known_and_novel_acc(table, self.num_labeled)
            results |= {f"{name}/acc/{part}": value for part, value in shares.items()}
            if table.sum():
                results |= {f"{name}/{key}": value for key, value in table_metrics(table).items() if key != "acc"}
        self.joint_table = tables[TEST] if tables[TEST].sum() else tables[HEAP]
        return results
