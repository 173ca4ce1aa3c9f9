"""Names, arguments and defaults that other people's scripts rely on; what they compute is tested where it is made."""

import importlib
import inspect

import pytest

SIGNATURES = {  # a further argument may follow, with a default
    "utils.nets.MultiHeadResNet": "arch, low_res, num_labeled, num_unlabeled, hidden_dim=2048, proj_dim=256, "
    "overcluster_factor=3, num_heads=5, num_hidden_layers=1",
    "utils.losses.SinkhornKnopp": "num_iters=3, epsilon=0.05",
    "utils.losses.swapped_prediction": "logits, targets, num_large_crops, temperature",
    "utils.losses.inter_class_skld": "logits, mask_lab, temperature",
    "utils.losses.intra_class_skld": "logits, mask_lab, num_labeled, temperature",
    "utils.losses.mse_consistency": "logits, mask_lab, num_labeled, temperature",
    "utils.losses.instance_loss": "z1, z2, temperature",
    "utils.losses.feature_loss": "f1, f2, temperature",
    "utils.losses.normalized_entropy": "f",
    "utils.evaluation.cluster_acc": "y_true, y_pred",
    "utils.evaluation.best_mapping": "y_true, y_pred",
    "utils.evaluation.ClusterMetrics": "num_heads",
    "utils.data.get_datamodule": "args, mode",
}


@pytest.mark.parametrize("path", SIGNATURES)
def test_arguments_have_their_names_order_and_defaults(path):
    room, _, name = path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(room), name)).parameters.values()
    named = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    expected = SIGNATURES[path].split(", ")
    assert named[: len(expected)] == expected
    assert all("=" in further for further in named[len(expected) :])
