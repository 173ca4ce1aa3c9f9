"""What results are judged by: metrics, protocols, k-means, the number of classes, predictions, downstream tasks.

May import: losses, transforms, and the modules of ``utils`` itself that all rooms share (errors, files, …).
"""

from utils.evaluation.metrics import ClusterMetrics, best_mapping, cluster_acc

__all__ = ["ClusterMetrics", "best_mapping", "cluster_acc"]
