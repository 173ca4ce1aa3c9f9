"""Settings of generalized discovery whose defaults depend on what is trained."""

from collections.abc import Mapping
from typing import Any

BY_RECIPE = {  # flag -> (on features of a frozen backbone, as published for a network that learns)
    "max_epochs": (60, 200),
    "warmup_teacher_temp_epochs": (15, 30),
    "num_mlp_layers": (0, 3),
    "standardize": (True, False),
    "sampler": ("shuffled", "balanced"),
    "memax_weight": (4.0, 2.0),
}


def recipe_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of those flags that are not given."""
    learns = settings.get("train") != "frozen"
    return {name: values[learns] for name, values in BY_RECIPE.items() if settings.get(name) is None}


def default_estimator(settings: Mapping[str, Any]) -> str:
    """How the number of novel classes is estimated where nothing else is asked for."""
    return "inertia" if settings.get("setting") == "gcd" else "silhouette"
