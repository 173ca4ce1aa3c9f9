"""Multi-view swapped prediction (UNO, arXiv:2108.08536, eq. 3-5).

V views, of which the first are large; H heads; B samples; K classes.
"""

from torch import Tensor

from utils.losses.precision import log_softmax


def swapped_prediction(logits: Tensor, targets: Tensor, num_large_crops: int, temperature: float) -> Tensor:
    """Cross-entropy of every view's prediction with the targets of every *other* large view.

    Args:
        logits: (V, H, B, K).
        targets: (num_large_crops, H, B, K); the rows are distributions, and carry no gradient.
        num_large_crops: views that have targets, 1 <= num_large_crops <= V.
        temperature: of the softmax.

    Returns:
        (H,): mean over samples, large views and the V - 1 other views.
    """
    log_p = log_softmax(logits, temperature)
    num_views, _, batch_size, _ = logits.shape
    others = log_p.sum(dim=0) - log_p[:num_large_crops]  # sum over the views w != v of log p_w: no loop over pairs
    loss = -(targets * others).sum(dim=(0, 2, 3))
    return loss / (batch_size * num_large_crops * (num_views - 1))
