"""LIME pictures of a network's features: the regions of images that drive them (Ribeiro et al., arXiv:1602.04938).

H x W image, K features, S regions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

ACTIVE = 0.75  # a feature's output above which an image is shown, as published
SAMPLES = 400  # perturbed images for each explanation
REGIONS, TOP_REGIONS = 50, 5  # of an image, about, and those that are shown
FEATURES = 5  # that are explained


@dataclass(frozen=True)
class Explanation:
    """What drives a feature on an image.

    Args:
        image: (H, W, 3) in [0, 1].
        feature: its number.
        output: the feature's value on the image.
        mask: (H, W) bool, the regions that raise it most.
    """

    image: np.ndarray
    feature: int
    output: float
    mask: np.ndarray


def regions(image: np.ndarray) -> np.ndarray:
    """Superpixels (H, W) int64 from 0 on: k-means on colour and place, started from a grid, as SLIC does.

    Args:
        image: (H, W, 3) in [0, 1].
    """
    from scipy.ndimage import gaussian_filter
    from sklearn.cluster import KMeans

    height, width = image.shape[:2]
    side = max(1.0, (height * width / REGIONS) ** 0.5)
    y, x = np.mgrid[0:height, 0:width]
    smooth = gaussian_filter(image, (side / 12, side / 12, 0))
    points = np.concatenate([8 * smooth, np.stack([y, x], -1) / side], -1).reshape(-1, 5)
    rows, columns = (np.arange(side / 2, length, side).astype(int) for length in (height, width))
    seeds = points.reshape(height, width, 5)[np.ix_(rows, columns)].reshape(-1, 5)
    labels = KMeans(len(seeds), init=seeds, n_init=1, max_iter=10).fit(points).labels_
    return np.unique(labels, return_inverse=True)[1].reshape(height, width)


def explain(outputs: Callable[[Tensor], Tensor], image: Tensor, feature: int) -> Explanation:
    """Explain one feature on one image with captum's LIME.

    Args:
        outputs: from views (B, 3, H, W) to features (B, K).
        image: (3, H, W) as the network sees it, in [0, 1].
        feature: its number.
    """
    from captum._utils.models.linear_model import SkLearnLinearModel
    from captum.attr import Lime

    shown = image.permute(1, 2, 0).cpu().numpy()
    places = regions(shown)
    mask = torch.from_numpy(places).to(image.device)
    baseline = torch.stack([channel.mean() for channel in image])[None, :, None, None].expand_as(image[None])
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        lime = Lime(
            lambda views: outputs(views)[:, feature], interpretable_model=SkLearnLinearModel("linear_model.Ridge")
        )
        weights = lime.attribute(
            image[None],
            baselines=baseline,
            feature_mask=mask[None, None].expand(1, 3, -1, -1),
            n_samples=SAMPLES,
            perturbations_per_eval=50,
            return_input_shape=False,
        )[0]
        output = float(outputs(image[None])[0, feature])
    values = weights.cpu().numpy()  # on the CPU already, wherever the image is: scikit-learn has fitted them
    best = np.argsort(-values, kind="stable")[:TOP_REGIONS]
    return Explanation(shown, feature, output, np.isin(places, best[values[best] > 0]))


def telling_features(values: Tensor) -> list[int]:
    """The features that are active on about a tenth of the images: neither always on nor never; the nearest.

    Args:
        values: (N, K) in [0, 1].
    """
    share = (values > ACTIVE).float().mean(0)
    wanted = (share - 0.1).abs().masked_fill(share == 0, torch.inf)
    order = wanted.argsort()[:FEATURES]
    return sorted(int(feature) for feature in order if torch.isfinite(wanted[feature]))


def plot_lime(explanations: Sequence[Sequence[Explanation]], circled: bool) -> Any:
    """A row for each feature; a matplotlib figure.

    Args:
        explanations: feature -> its images.
        circled: draw the regions' outline in yellow; else show them alone and hide the rest.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in explanations)
    figure = Figure(figsize=(1.7 * columns + 0.5, 1.9 * len(explanations)), layout="constrained")
    axes = figure.subplots(len(explanations), columns, squeeze=False)
    for row, axes_row in zip(explanations, axes, strict=True):
        for axis in axes_row:
            axis.axis("off")
        for axis, found in zip(axes_row, row, strict=False):
            axis.axis("on")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.imshow(found.image if circled else np.where(found.mask[..., None], found.image, 0.5))
            if circled:
                _circle(axis, found.mask)
            axis.set_title(f"{found.output:.2f}", fontsize=8)
        axes_row[0].set_ylabel(f"feature {row[0].feature}", fontsize=9)
    return figure


def _circle(axis: Any, mask: np.ndarray) -> None:
    """The outline of regions, along the edges of pixels and closed at the image's border."""
    if not mask.any():
        return
    fine = 8
    enlarged = np.pad(np.kron(mask, np.ones((fine, fine))), 1)
    places = [(np.arange(-1, length * fine + 1) + 0.5) / fine - 0.5 for length in reversed(mask.shape)]
    axis.contour(*places, enlarged, levels=[0.5], colors="yellow", linewidths=1.5)
    axis.set(xlim=(-0.7, mask.shape[1] - 0.3), ylim=(mask.shape[0] - 0.3, -0.7))
