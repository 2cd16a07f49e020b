"""What a batch of any make is made of: named parts with a row a sample, inputs and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from traintop.analyses.batches import Inputs
from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.samples import count

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Names under which batches that are dicts have their labels."""


@dataclass(kw_only=True, eq=False)
class Part:
    """One part of a batch.

    Attributes:
        name: The place in a tuple (`0`) or the key of a dict; of nested ones joined by dots.
        label: Whether it is what the model should answer.
        blocks: Tensors with samples along the first axis; of ragged samples one each.
    """

    name: str
    label: bool
    blocks: list[torch.Tensor] = field(default_factory=list[torch.Tensor])


def parts(batch: Any) -> list[Part]:
    """Take a batch apart; what is neither tensor nor number (texts, paths) is left out.

    The last part of a tuple or list is the label, as `Target` has it; of a dict what is named so.
    """
    found: dict[str, Part] = {}
    samples = _count(batch)
    if isinstance(batch, Inputs):
        _walk(batch.args, "", False, samples, found)
        _walk(batch.kwargs, "", False, samples, found)
    elif isinstance(batch, Mapping):
        for key, value in cast("Mapping[str, Any]", batch).items():
            _walk(value, str(key), str(key) in LABEL_KEYS, samples, found)
    elif isinstance(batch, list | tuple):
        items = cast("list[Any]", batch)
        if _one_each(items):
            for item in items:
                for part in parts(item):
                    into = found.setdefault(part.name, Part(name=part.name, label=part.label))
                    into.blocks += [block.unsqueeze(0) for block in part.blocks]
        else:
            for at, value in enumerate(items):
                last = len(items) > 1 and at == len(items) - 1
                _walk(value, str(at), last, samples, found)
    else:
        _walk(batch, "0", False, samples, found)
    return [part for part in found.values() if part.blocks]


def _count(batch: Any) -> int:
    try:
        return count((batch.args, batch.kwargs) if isinstance(batch, Inputs) else batch)
    except AnalysisFailedError:
        return 0  # it holds nothing that is taken


def _one_each(items: list[Any]) -> bool:
    """Whether it is a list with a dict or a tuple a sample; collated batches are none."""
    return len(items) > 1 and (
        all(isinstance(item, Mapping) for item in items)
        or all(isinstance(item, tuple) for item in items)
    )


def _walk(value: Any, name: str, label: bool, samples: int, found: dict[str, Part]) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        part = found.setdefault(name, Part(name=name, label=label))
        part.blocks.append(value.detach().reshape(1) if value.ndim == 0 else value.detach())
        return
    if isinstance(value, int | float):
        found.setdefault(name, Part(name=name, label=label)).blocks.append(torch.tensor([value]))
        return
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, Any]", value).items():
            own = label or str(key) in LABEL_KEYS
            _walk(item, f"{name}.{key}".lstrip("."), own, samples, found)
        return
    if not isinstance(value, list | tuple):
        return
    items = cast("list[Any]", value)
    if len(items) == samples and all(isinstance(item, torch.Tensor) for item in items):
        part = found.setdefault(name, Part(name=name, label=label))
        part.blocks += [item.detach().unsqueeze(0) for item in items]
        return
    if len(items) == samples and all(isinstance(item, int | float) for item in items):
        found.setdefault(name, Part(name=name, label=label)).blocks.append(torch.tensor(items))
        return
    each = len(items) == samples and _one_each(list(items))
    for at, item in enumerate(items):
        # Samples that are dicts share their names; several inputs are told apart by their place.
        path = name if each else f"{name}.{at}".lstrip(".")
        before = {key: len(part.blocks) for key, part in found.items()}
        _walk(item, path, label, samples, found)
        for key, part in found.items() if each else ():
            fresh = part.blocks[before.get(key, 0) :]
            part.blocks[before.get(key, 0) :] = [block.unsqueeze(0) for block in fresh]
