"""Steps on a GPU that is not there: tensors without data, of which torch checks shapes, types and devices.

A tensor left on the CPU, or a value that the host would have to read, is an error here as on a real GPU. Gradients are
left out, for which torch asks the driver, and the optimizer's own kernel.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Generator, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from main_discover_inter_intra import Discoverer
from main_discover_mse import Discoverer as MSEDiscoverer
from utils.data import loaders
from utils.data.specs import contrastive_view, dataset_spec
from utils.methods.discoverer import Discoverer as Baseline
from utils.methods.disentangler import Disentangler
from utils.methods.pretrainer import Pretrainer
from utils.nets import batch_norm
from utils.training.nonfinite import NonFinite
from utils.transforms.eval_pipeline import EvalPipeline
from utils.transforms.pipeline import ViewPipeline

GPU = torch.device("cuda", 0)
SPEC = dataset_spec("CIFAR10")
SIZES = {"dataset": "CIFAR10", "num_labeled_classes": 3, "width": 8}
HEADS = {"num_unlabeled_classes": 2, "num_heads": 2, "hidden_dim": 16, "proj_dim": 8}
pytestmark = pytest.mark.filterwarnings("ignore:.*CUDA is not available")


class GPUGenerator(Generator):
    """A generator that says it is on the GPU."""

    device = GPU

    def __new__(cls, device=None):
        return super().__new__(cls)


@pytest.fixture
def gpu(monkeypatch):
    """The mode in which tensors have no data."""
    monkeypatch.setattr(torch, "Generator", GPUGenerator)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        yield mode


class NothingCrosses(TorchDispatchMode):
    """An error where something goes from one device to another, which would wait for the GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::_to_copy", "aten::copy_"):
            devices = {value.device.type for value in (*args, out) if isinstance(value, torch.Tensor)}
            assert len(devices) == 1, f"{func} from one device to another: {devices}"
        return out


def moved(make, mode):
    """A module made on the CPU, its parameters and buffers on the GPU."""
    with unset_fake_temporarily():
        module = make().train()
        parameters = {name: value.detach() for name, value in module.named_parameters()}
    for prefix, part in module.named_modules():
        for name in list(part._parameters):
            if part._parameters[name] is not None:
                full = f"{prefix}.{name}" if prefix else name
                part._parameters[name] = nn.Parameter(mode.from_tensor(parameters[full]).to(GPU))
        for name, value in part._buffers.items():
            part._buffers[name] = mode.from_tensor(value).to(GPU)
    module._device = GPU
    return module


def batch(views):
    """The first batch of a loader on the GPU."""
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(12) % 5
    pipeline = ViewPipeline(views, SPEC.mean, SPEC.std)
    return next(iter(loaders.ViewLoader(images, labels, pipeline, batch_size=6, seed=0, device=GPU)))


def test_weighted_images_are_drawn_where_sums_have_a_fixed_order(gpu):
    """On a GPU torch.multinomial takes a cumulative sum, which deterministic algorithms refuse."""

    class Drawn(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.name == "aten::multinomial":
                devices.append(args[0].device.type)
            return func(*args, **(kwargs or {}))

    devices: list[str] = []
    images, labels = torch.zeros(12, 3, 32, 32, dtype=torch.uint8), torch.arange(12)
    pipeline, place = ViewPipeline([SPEC.large], SPEC.mean, SPEC.std), {"batch_size": 6, "seed": 0, "device": GPU}
    loader = loaders.ViewLoader(images, labels, pipeline, weights=np.ones(12), **place)
    with Drawn():
        (view,), shown = next(iter(loader))
    assert devices == ["cpu"]
    assert view.device == shown.device == GPU


CASES = {
    "pretrain": (lambda: Pretrainer(**SIZES), [SPEC.large] * 2),
    "baseline": (lambda: Baseline(**SIZES, **HEADS), [SPEC.large] * 2 + [SPEC.small] * 2),
    "inter_intra": (lambda: Discoverer(**SIZES, **HEADS), [SPEC.large] * 2 + [SPEC.small] * 2),
    "mse": (lambda: MSEDiscoverer(**SIZES, **HEADS), [SPEC.large] * 2),
    "cd": (lambda: Disentangler(width=8, image_size=32, feature_num=8), [contrastive_view(32, 0.5, True)] * 2),
    "simclr": (lambda: Disentangler(width=8, image_size=32, method="simclr"), [contrastive_view(32, 0.5, False)] * 2),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_stays_on_the_gpu(gpu, case):
    make, views = CASES[case]
    module, given = moved(make, gpu), batch(views)
    assert all(view.device == GPU for view in given[0])
    with NothingCrosses():
        loss = module.training_step(given, 0)
    assert (loss.device, loss.dtype, loss.requires_grad) == (GPU, torch.float32, True)
    assert module.means.last.device == GPU


@pytest.mark.parametrize("case", ["inter_intra", "cd"])
def test_synchronised_batchnorm_does_not_wait_either(gpu, case, monkeypatch):
    monkeypatch.setattr(batch_norm, "several_processes", lambda: True)
    make, views = CASES[case]
    module, given = moved(make, gpu), batch(views)
    batch_norm.ViewSyncBatchNorm().apply(module)
    with NothingCrosses():
        assert module.training_step(given, 0).device == GPU


@pytest.mark.parametrize("case", ["baseline", "inter_intra"])
def test_evaluation_stays_on_the_gpu(gpu, case):
    module = moved(CASES[case][0], gpu).eval()
    pipeline = EvalPipeline(SPEC.evaluation, SPEC.mean, SPEC.std)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    for shown, labels in loaders.EvalLoader(images, torch.arange(5), pipeline, batch_size=4, device=GPU):
        module.evaluation.update("unlab/test", module.model(shown), labels, 0)
    predictions = module.evaluation.metrics["unlab/test"]._preds
    assert [tuple(part.shape) for part in predictions] == [(2, 4), (2, 1)]
    assert all(part.device == GPU for part in predictions)


@pytest.mark.parametrize("mode", ["stop", "skip"])
def test_a_step_that_is_not_finite_is_left_out_without_waiting(gpu, mode, tmp_path):
    make, views = CASES["inter_intra"]
    module, given = moved(make, gpu), batch(views)
    optimizer = module.configure_optimizers()[0][0]
    trainer = SimpleNamespace(scaler=None, optimizers=[optimizer], fit_loop=SimpleNamespace(batch_idx=3))
    watch = NonFinite(tmp_path, mode)
    watch.on_train_start(trainer, module)
    with NothingCrosses():
        watch.on_train_batch_start(trainer, module)
        module.training_step(given, 0)
        for parameter in module.parameters():
            parameter.grad = torch.empty_like(parameter)
        watch.on_after_backward(trainer, module)
    assert optimizer.found_inf.device == watch.step.device == watch.values.device == GPU
    assert all(state["momentum_buffer"].device == GPU for state in optimizer.state.values())


def test_the_guard_sees_other_devices_and_waiting(gpu):
    there = torch.ones(3, device=GPU)
    with pytest.raises(Exception, match="two devices"):
        there + torch.ones(3)
    with pytest.raises(AssertionError, match="from one device to another"), NothingCrosses():
        there.new_tensor([1.0])
    with pytest.raises(DataDependentOutputException):
        there.sum().item()
