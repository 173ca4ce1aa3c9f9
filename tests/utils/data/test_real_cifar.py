"""The real CIFAR-10 images, where they are at hand."""

import subprocess
import sys

import numpy as np
import torch

from utils.data import get_datamodule


def test_real_cifar10(shared_data, tmp_path, flags):
    unpack = [sys.executable, str(shared_data / "unpack.py"), "cifar10", "--out", str(tmp_path), "--per_class", "20"]
    subprocess.run(unpack, check=True, capture_output=True)
    data = get_datamodule(flags(dataset="CIFAR10", multicrop=True, batch_size=64), "discover")
    data.setup()
    assert "cifar10.npz" in data.describe()[0]
    assert np.bincount(data.train_targets).tolist() == [20] * 10
    views, labels = next(iter(data.train_dataloader()))
    assert [tuple(view.shape[1:]) for view in views] == [(3, 32, 32)] * 2 + [(3, 18, 18)] * 2
    assert set(labels.tolist()) == {-1, 0, 1, 2, 3, 4}
    for loader in data.val_dataloader():
        for images, _ in loader:
            assert images.mean().abs() < 0.3
            assert 0.7 < images.std() < 1.3
    assert torch.cat([labels for _, labels in data.val_dataloader()[2]]).bincount().tolist() == [4] * 5
