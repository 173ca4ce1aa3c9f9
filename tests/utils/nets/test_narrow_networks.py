"""Narrow networks: their shortcuts are never the convolutions that damage memory, and compute the same function."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision.models.resnet import conv1x1

from tests.conftest import ROOT
from utils.nets.encoder import Encoder, Subsample, _safe_downsample

BACKWARD = """
import torch
from utils.nets.encoder import Encoder

torch.set_num_threads(1)
torch.manual_seed(0)
for width, low_res, size in ((8, True, 64), (8, False, 224), (4, True, 48)):
    encoder = Encoder("resnet18", low_res, width).to(memory_format=torch.channels_last)
    shortcut = encoder.layer2[0].downsample
    images = torch.rand(2, 3, size, size).contiguous(memory_format=torch.channels_last)
    for _ in range(3):
        encoder(images).square().mean().backward()

torch.set_num_threads(2)
x = torch.rand(8, 4, 28, 28).contiguous(memory_format=torch.channels_last)
gradients = []
for enabled in (True, False):
    with torch.backends.mkldnn.flags(enabled=enabled):
        loss = (shortcut(x) * torch.linspace(0, 1, 14)).sum()
        gradients += torch.autograd.grad(loss, shortcut[-2].weight)
torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
"""


@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX512_CORE", "AVX2"])
def test_a_narrow_network_survives_its_backward_pass(instructions):
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run(
        [sys.executable, "-c", BACKWARD], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("width", [1, 3, 8, 15, 16, 24])
def test_no_shortcut_strides_over_few_channels(arch, width):
    encoder = Encoder(arch, True, width)
    strided = [
        m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.stride > (1, 1)
    ]
    assert all(convolution.in_channels >= 16 for convolution in strided)
    subsampled = [module for module in encoder.modules() if isinstance(module, Subsample)]
    assert len(strided) + len(subsampled) == 3
    names = [name for name, _ in Encoder(arch, True, 64).named_parameters()]
    assert [name for name, _ in encoder.named_parameters()] == names


@pytest.mark.parametrize("size", [1, 7, 8])
def test_a_subsampled_shortcut_computes_the_same(size):
    torch.manual_seed(0)
    plain = nn.Sequential(conv1x1(4, 6, 2), nn.BatchNorm2d(6)).double()
    weights = plain.state_dict()
    safe = _safe_downsample(nn.Sequential(conv1x1(4, 6, 2), nn.BatchNorm2d(6)).double())
    safe.load_state_dict(weights)
    images = torch.rand(3, 4, size, size, dtype=torch.float64)
    torch.testing.assert_close(safe(images), plain(images))
