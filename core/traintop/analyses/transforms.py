"""The transforms of the training and the validation data, as torchvision's datasets hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

_RANDOM = re.compile(
    r"Random|Jitter|AutoAugment|TrivialAugment|RandAugment|AugMix|MixUp|CutMix|GaussianNoise"
    r"|Erasing|Elastic|Dropout",
    re.IGNORECASE,
)
"""Names of transforms that augment: they belong to the training data only."""
_NAMES = ("transform", "transforms")
_DEPTH = 6


def transforms_of(data: Any) -> list[str] | None:
    """The transforms of a loader's or a list's dataset, each as it writes itself.

    Args:
        data: A DataLoader, a dataset, or a wrapper of one (`Subset`, `ConcatDataset` ...).

    Returns:
        One text a step, in order; None where the data does not show any.
    """
    dataset = getattr(data, "dataset", data)
    for _ in range(_DEPTH):
        for name in _NAMES:
            found = getattr(dataset, name, None)
            if found is not None and callable(found):
                return [_text(step) for step in _steps(found)]
        inner = getattr(dataset, "dataset", None)
        several = getattr(dataset, "datasets", None)
        if inner is None and isinstance(several, list | tuple) and several:
            inner = cast("list[Any]", several)[0]
        if inner is None:
            return None
        dataset = inner
    return None


def compare(train: list[str], val: list[str]) -> dict[str, Any]:
    """Set the transforms side by side.

    Returns:
        `equal`: whether what is not random is the same; `only_train` and `only_val`: what differs;
        `augmented_val`: random transforms of the validation data.
    """
    fixed_train, fixed_val = _fixed(train), _fixed(val)
    return {
        "train": train,
        "val": val,
        "equal": fixed_train == fixed_val,
        "only_train": [step for step in fixed_train if step not in fixed_val],
        "only_val": [step for step in fixed_val if step not in fixed_train],
        "augmented_val": [step for step in val if _RANDOM.search(step)],
    }


def normalisation(steps: Iterable[str]) -> list[str]:
    """The steps that set the scale of the inputs."""
    return [step for step in steps if re.match(r"(Normalize|Standardi[sz]e)\b", step)]


def _fixed(steps: list[str]) -> list[str]:
    return [step for step in steps if not _RANDOM.search(step)]


def _steps(transform: Any) -> list[Any]:
    # torchvision's datasets wrap their transform once more.
    inner = getattr(transform, "transform", None)
    if inner is not None and not hasattr(transform, "transforms"):
        return _steps(inner)
    several = getattr(transform, "transforms", None)
    if isinstance(several, list | tuple):
        return [step for each in cast("list[Any]", several) for step in _steps(each)]
    return [transform]


def _text(step: Any) -> str:
    text = str(step)
    if re.search(r" at 0x[0-9a-f]+", text):  # a function, or a class that does not write itself
        text = getattr(step, "__qualname__", type(step).__name__)
    return re.sub(r"\s+", " ", text)
