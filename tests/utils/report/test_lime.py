"""LIME's regions: those that raise a feature, also where the image is on a GPU and the fitted weights are not."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from utils.report.plots import lime


class OnTheHost(Tensor):
    """An error beside any other tensor, which stands for one on a GPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        assert all(isinstance(value, cls) for value in tensors), f"{func.__name__} of tensors on two devices"
        return super().__torch_function__(func, types, args, kwargs or {})


def test_the_regions_that_raise_a_feature(monkeypatch):
    pytest.importorskip("captum")
    from captum._utils.models.linear_model import SkLearnLinearModel

    fitted = SkLearnLinearModel.representation
    monkeypatch.setattr(SkLearnLinearModel, "representation", lambda model: fitted(model).as_subclass(OnTheHost))
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    image[:, :, :8] += 1

    def outputs(views):  # two features: how bright the left and the right half are
        return torch.stack([half.mean(dim=(1, 2, 3)) for half in views.chunk(2, dim=3)], dim=1)

    found = lime.explain(outputs, image / 2, 0)
    assert found.output == pytest.approx(float(image[..., :8].mean()) / 2)
    assert found.mask[:, :8].any()
    assert not found.mask[:, 9:].any()  # a region may reach a pixel over the edge
