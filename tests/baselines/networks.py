"""Networks whose encoder passes features through, as the published steps behind the golden numbers were run."""

import torch
from torch import nn

from utils.nets import multi_head_resnet


class PassThrough(nn.Module):
    """Stands in for the encoder: images are features."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, images, num_views=1):
        return images


def build(discoverer, numbers, monkeypatch, feats, **flags):
    """A Discoverer in float64 with the settings and the parameters of a golden file."""
    monkeypatch.setattr(multi_head_resnet, "Encoder", lambda *_: PassThrough(feats.shape[-1]))
    names = ("overcluster_factor", "num_heads", "temperature", "epsilon_sk", "num_iters_sk")
    names += ("num_hidden_layers", "hidden_dim", "proj_dim")
    settings = {name: numbers[name].item() for name in names if name in numbers}
    module = discoverer(
        **settings
        | {"num_labeled_classes": int(numbers["num_labeled"]), "num_unlabeled_classes": int(numbers["num_unlabeled"])}
        | {"dataset": "CIFAR10"}
        | flags
    )
    return module.double().train()


def load(module, numbers, rename=lambda name: name):
    """Fill the network with ``param/*``; running statistics stay as they are."""
    state = {rename(name.removeprefix("param/")): value for name, value in numbers.items() if name.startswith("param/")}
    missing, unexpected = module.model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("running" in name or "num_batches" in name for name in missing), missing


def require_gradients(module, numbers, prefix="", rename=lambda name: name, **tolerance):
    """The gradients of all parameters are those of the file."""
    found = {name: value.grad for name, value in module.model.named_parameters()}
    start = f"{prefix}grad/param/"
    names = [name.removeprefix(start) for name in numbers if name.startswith(start)]
    assert names
    for name in names:
        gradient = found[rename(name)]
        expected = numbers[f"{start}{name}"]
        gradient = torch.zeros_like(expected) if gradient is None else gradient
        torch.testing.assert_close(gradient, expected, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


SMALL = {"dataset": "digits", "width": 8, "num_labeled_classes": 5, "num_unlabeled_classes": 5}
