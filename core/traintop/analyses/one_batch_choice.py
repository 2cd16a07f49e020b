"""What the one-batch test is made on: the samples, their classes, and a loss that can be zero."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import NO_BATCH, draw, forward, move
from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.one_batch_rule import entropy, spread
from traintop.analyses.samples import count, pick

if TYPE_CHECKING:
    from traintop.analyses.target import Target

BATCHES_LOOKED_AT = 20
"""For one with more than one class."""


def choose(context: Context, wanted: int) -> tuple[Any, int]:
    """A few samples of a batch that has more than one class, where there are classes."""
    first = None
    for batch in islice(draw(context.target.train or (), context.seed), BATCHES_LOOKED_AT):
        try:
            total = count(batch)
        except AnalysisFailedError:
            context.log("the batch cannot be cut into samples, so it is taken whole")
            return move(batch, context.device), 1
        labels = _labels(batch, total)
        if labels is None:
            return move(pick(batch, range(min(wanted, total))), context.device), min(wanted, total)
        chosen = move(pick(batch, spread(labels, wanted)), context.device)
        if len(set(labels)) > 1 or wanted == 1:
            return chosen, min(wanted, total)
        first = first or (chosen, min(wanted, total))
    if first is None:
        raise AnalysisFailedError(NO_BATCH)
    context.log("every batch looked at has one class only: even a model that sees nothing fits it")
    return first


def _labels(batch: Any, samples: int, *, flat: bool = True) -> list[int] | None:
    """The classes of a batch, where its last part is whole numbers; `flat`: one a sample."""
    import torch

    parts = cast("list[Any]", batch) if isinstance(batch, list | tuple) else []
    last = parts[-1] if len(parts) > 1 else None
    if not isinstance(last, torch.Tensor) or last.is_floating_point() or last.is_complex():
        return None
    if flat and (last.ndim != 1 or len(last) != samples):
        return None
    return cast("list[int]", last.flatten().tolist())


def without_smoothing(context: Context) -> Target:
    """The target with label smoothing off: with it no loss comes near zero."""
    loss = context.target.loss
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if context.target.step is not None or not isinstance(smoothing, float) or smoothing <= 0:
        return context.target
    loss = copy.copy(loss)
    cast("Any", loss).label_smoothing = 0.0
    context.log(f"label smoothing ({smoothing:g}) is off: with it the loss cannot come near zero")
    return replace(context.target, loss=loss)


def label_entropy(context: Context, target: Target, batch: Any) -> float | None:
    """The entropy of the labels in nats; None where they are no classes that the output tells."""
    import torch

    labels = None if target.step is not None else _labels(batch, 0, flat=False)
    # What is left out of the loss is negative by custom (-100).
    known = [label for label in labels or () if label >= 0]
    if not known:
        return None
    with torch.no_grad():
        output = forward(target, context.model, batch)
    if not isinstance(output, torch.Tensor) or output.ndim < 2 or output.shape[1] <= max(known):
        return None
    return entropy(known)
