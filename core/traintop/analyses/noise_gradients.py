"""The gradients of some batches, from which the gradient noise scale is estimated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import NO_BATCH, loss_of, move, one_pass, seed_everything
from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.noise_scale import NoiseScale, noise_scale
from traintop.analyses.samples import count, pick
from traintop.analyses.saved_weights import SavedBuffers

if TYPE_CHECKING:
    import torch

PIECES = 8
"""Gradients that an estimate of their noise is made of at least; batches are cut where there are
fewer."""


def measure_noise(context: Context, batches: int) -> NoiseScale | None:
    """The noise scale, from the gradients of some batches; None where there are too few samples."""
    import torch

    if batches < 1:
        return None
    pieces, small = _pieces(context, batches)
    if len(pieces) < 2:
        context.log("the gradient noise scale needs two samples at least")
        return None
    # A loss summed over its samples grows with the batch, which is not noise.
    reduction = getattr(context.target.loss, "reduction", "mean")
    scale = 1 / small if context.target.step is None and reduction == "sum" else 1.0
    trained = [each for each in context.model.parameters() if each.requires_grad]
    total = [torch.zeros_like(each, dtype=torch.float32) for each in trained]
    buffers, squares = SavedBuffers(context.model), 0.0
    seed_everything(context.seed)
    for number, piece in enumerate(pieces, start=1):
        buffers.restore()
        loss = loss_of(context.target, context.model, move(piece, context.device)) * scale
        found = cast(
            "tuple[torch.Tensor | None, ...]",
            torch.autograd.grad(loss, trained, allow_unused=True),
        )
        gradients = [None if each is None else each.float() for each in found]
        squares += _square(each for each in gradients if each is not None)
        for into, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                into += gradient
        context.progress(number, len(pieces), "gradients for their noise scale")
    mean = _square(each / len(pieces) for each in total)
    if not math.isfinite(squares) or not math.isfinite(mean):
        context.log("no gradient noise scale: gradients are not finite; nan_source finds out why")
        return None
    return noise_scale(squares / len(pieces), mean, small, len(pieces))


def _square(tensors: Iterable[torch.Tensor]) -> float:
    return float(sum(float(each.double().square().sum()) for each in tensors))


def _pieces(context: Context, batches: int) -> tuple[Sequence[Any], int]:
    """Batches of equal size, cut into several where there are few; and that size."""
    found = list(islice(one_pass(context.target.train or (), context.seed), batches))
    if not found:
        raise AnalysisFailedError(NO_BATCH)
    whole = count(found[0])
    found = [batch for batch in found if count(batch) >= whole]  # the last is often smaller
    # Batch normalisation needs two samples.
    small = max(whole // -(-PIECES // len(found)), min(whole, 2))
    return [
        pick(batch, range(begin, begin + small))
        for batch in found
        for begin in range(0, whole - small + 1, small)
    ], small
