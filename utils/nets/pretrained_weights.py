"""Pretrained weights into a discovery network: the encoder and the labelled head, nothing silently left out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from utils.errors import UserError, listed
from utils.torch_files import class_names_of, load_torch

ENCODER = "encoder."
STEM = "encoder.conv1.weight"
TAKEN = (ENCODER, "head_lab.")
SHOWN = 3  # problems in a message
EARLY = ("conv1", "bn1", "layer1", "layer2", "layer3")  # of the ResNet


def load_pretrained(
    model: nn.Module,
    path: str,
    class_names: Sequence[str] | None = None,
    encoder_alone: bool = False,
    flag: str = "--pretrained",
) -> None:
    """Fill ``encoder.*`` and ``head_lab.*`` of a network from a bare ``state_dict`` with the published names.

    Args:
        model: a :class:`~utils.nets.multi_head_resnet.MultiHeadResNet`.
        path: the file that ``main_pretrain.py`` leaves, or a published one; heads of novel classes in it are not read.
        class_names: of this run's labelled classes, in the order of their prototypes; where the file says its own
            (published ones do not), these have to be the same.
        encoder_alone: whether a file without a labelled head will do, such as ``baselines/rotnet.py`` leaves.
        flag: that gave the file, for messages.

    Raises:
        UserError: when the file is absent or of another format, or when a tensor is missing, too many or of another
            shape; the message names it.
    """
    what = f"{flag} {path}"
    everything = load_state(path, what)
    theirs = class_names_of(everything)
    given = {name: value for name, value in everything.items() if name.startswith(TAKEN)}
    wanted = {name: value for name, value in model.state_dict().items() if name.startswith(TAKEN)}

    head = "head_lab.prototypes.weight"
    if given and head not in given:
        if not encoder_alone:
            raise UserError(
                f"{what} holds no labelled head ({head} is missing): it is of self-supervision; give it "
                "to main_pretrain.py --pretrained, and what that leaves here"
            )
        wanted.pop(head)
    if head in given and given[head].dim() == 2 and len(given[head]) != len(wanted[head]):
        held, asked = len(given[head]), len(wanted[head])
        raise UserError(f"{what} holds {held} labelled prototypes but --num_labeled_classes is {asked}")
    if STEM in given and STEM in wanted and len(given[STEM]) != len(wanted[STEM]):
        raise UserError(f"{what} holds a ResNet of width {len(given[STEM])} but --width is {len(wanted[STEM])}")
    require_fit(what, given, wanted)
    if theirs and class_names:
        _require_classes(what, theirs, list(class_names))
    model.load_state_dict(given, strict=False)


def _require_classes(what: str, theirs: list[str], ours: list[str]) -> None:
    if theirs == ours:
        return
    given = f"{what} was trained on the labelled classes {listed(theirs)}; this run's are {listed(ours)}"
    if sorted(theirs) == sorted(ours):
        place = next(place for place, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other)
        raise UserError(f"{given}, in another order from class {place} on: give both stages the same --labeled_classes")
    raise UserError(f"{given}: give the dataset and --labeled_classes of pretraining, or other weights")


def freeze_early(encoder: nn.Module, settings: Mapping[str, Any]) -> None:
    """Train the last stage alone of a ResNet that starts from pretrained weights, with ``--freeze_early``."""
    if settings["freeze_early"] and settings["pretrained"] and not settings["backbone"]:
        for part in EARLY:
            getattr(encoder, part).requires_grad_(False)


def load_encoder(model: nn.Module, path: str) -> None:
    """Fill ``encoder.*`` alone, from the same files.

    Args:
        model: a :class:`~utils.nets.gcd_net.GCDNet`, whose prototypes are of all classes and so start anew.
        path: as in :func:`load_pretrained`.

    Raises:
        UserError: as :func:`load_pretrained`.
    """
    what = f"--pretrained {path}"
    given = {name: value for name, value in load_state(path, what).items() if name.startswith(ENCODER)}
    require_fit(what, given, {k: v for k, v in model.state_dict().items() if k.startswith(ENCODER)})
    model.load_state_dict(given, strict=False)


def load_state(
    path: str | Path, what: str, writer: str = "main_pretrain.py writes checkpoints_iic/*.cp"
) -> Mapping[str, Tensor]:
    """A bare ``state_dict``.

    Args:
        path: of the file.
        what: flag and file, for the message.
        writer: where such files come from, for the message.

    Raises:
        UserError: when the file is absent or of another format.
    """
    given = load_torch(path)
    if not isinstance(given, Mapping) or not all(isinstance(value, Tensor) for value in given.values()):
        raise UserError(f"{what} is not a bare state_dict ({writer})")
    return given


def require_fit(what: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse weights in which a tensor is missing, too many or of another shape.

    Args:
        what: flag and file, for the message.
        given, wanted: tensors by name.

    Raises:
        UserError: naming the first three.
    """
    problems = [f"{name} is missing" for name in wanted.keys() - given.keys()]
    problems += [f"{name} is not in this network" for name in given.keys() - wanted.keys()]
    problems += [
        f"{name} has shape {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted.keys() & given.keys()
        if given[name].shape != wanted[name].shape
    ]
    if problems:
        raise UserError(f"{what} does not fit this network: {first_problems(sorted(problems))}")


def first_problems(problems: Sequence[str]) -> str:
    """The first three and how many more there are, for a message.

    >>> first_problems(["a", "b", "c", "d"])
    'a; b; c and 1 more'
    """
    return "; ".join(problems[:SHOWN]) + (f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else "")
