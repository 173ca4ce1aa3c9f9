"""The last block of a timm model: a transformer's ``blocks[-1]``, the last stage of a convolutional network."""

import re
from typing import Any

from torch import nn

from utils.errors import UserError


def last_block(model: nn.Module, name: str) -> list[nn.Module]:
    """The modules of the last block.

    timm's models say themselves what their blocks are, for learning rates that fall from block to block
    (``group_matcher``): a pattern whose groups are the block's number. Stem, last norm and head belong to none.

    Args:
        model: of timm.
        name: for the message.

    Raises:
        UserError: naming a model that does not say it.
    """
    patterns = [re.compile(pattern) for pattern in _patterns(model)]
    found: dict[tuple[int, ...], list[nn.Module]] = {}
    for path, module in model.named_modules():
        for pattern in patterns:
            match = pattern.match(path)
            numbers = tuple(int(group) for group in match.groups() if (group or "").isdigit()) if match else ()
            if numbers and any(True for _ in module.parameters()):
                found.setdefault(numbers, []).append(module)
                break
    if not found:
        raise UserError(f"--train last_block: {name} does not say what its blocks are; use frozen or all")
    return found[max(found)]


def _patterns(model: nn.Module) -> list[str]:
    """What the names of blocks look like; nothing for a model that says it in another way, or not at all."""
    group_matcher: Any = getattr(model, "group_matcher", None)
    try:
        blocks = group_matcher(coarse=True)["blocks"]
    except (AssertionError, AttributeError, KeyError, TypeError):
        return []
    return [blocks] if isinstance(blocks, str) else [pattern for pattern, place in blocks if place is None]
