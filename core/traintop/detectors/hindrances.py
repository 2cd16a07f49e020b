"""What keeps weights from learning, read from the state of the run rather than from its loss."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from traintop.detectors.context import Context
from traintop.records import Cause

SMALL_UPDATE = 1.5e-4
"""Median update over weights below which nothing is learnt in the time of a run. The rule of thumb
is 1e-3 (Karpathy), TheDeepChecker alarms below 1e-4; a prototype's value on labelled runs."""

CLIPPED = 0.05
"""Clip threshold over gradient norm below which the clip, not the rate, sets the step ..."""

CLIPPED_UPDATE = 1e-3
"""... where the update is small at the same time. Both are a prototype's values."""

VANISHED = 1e-3
"""Gradient per weight of the first layer over that of the last (AutoTrainer)."""

CONSTANT = 0.97
"""Share of equal predictions from which on the output does not depend on the input: a prototype's
value."""


class Hindrance(NamedTuple):
    """One thing that keeps the weights from learning."""

    cause: Cause
    fix: str


@np.errstate(over="ignore")  # Of an absurd norm, which is infinite then.
def hindrance(context: Context) -> Hindrance | None:
    """The most direct hindrance that the run's state shows; None where it shows none."""
    return (
        _no_update(context)
        or _clipped(context)
        or _vanished(context)
        or _small_update(context)
        or _constant_output(context)
    )


def _no_update(context: Context) -> Hindrance | None:
    updates = context.updates
    if updates.count < 8 or updates.zeros < updates.count:
        return None
    because = f"the update was exactly 0 in all of {updates.count} records"
    return Hindrance(
        Cause(cause="the optimizer does not move the weights", because=because, basis="measured"),
        "call optimizer.step() after backward(), with the parameters of this very model",
    )


def _clipped(context: Context) -> Hindrance | None:
    clip = context.info.grad_clip
    norms = context.layers.last.get("grad_norm")
    if not clip or norms is None or not context.updates.median < CLIPPED_UPDATE:
        return None
    norm = math.sqrt(float(np.nansum(np.square(norms))))
    if not clip < CLIPPED * norm:
        return None
    because = f"gradients of norm {norm:.3g} are clipped to {clip:g}"
    return Hindrance(
        Cause(cause="gradient clipping too tight", because=because, basis="measured"),
        f"gradient clip {clip:g} -> {norm:.2g}, the norm that the gradients have",
    )


def _vanished(context: Context) -> Hindrance | None:
    layers = context.layers
    norms = layers.last.get("grad_norm")
    sizes = layers.names.numel
    if norms is None or len(sizes) != len(norms):
        return None
    per_weight = norms / np.sqrt(np.maximum(sizes, 1))
    # A bias has a gradient where its layer's weights have none: large tensors speak for a layer.
    usual = np.isfinite(per_weight) & (np.array(sizes) >= 0.02 * max(sizes))
    if usual.sum() < 2:
        return None
    known = per_weight[usual]
    if not known[0] < VANISHED * known[-1]:
        return None
    because = f"the first layer's gradient is {known[0] / known[-1]:.2g} of the last one's"
    return Hindrance(
        Cause(cause="gradients vanish on the way to the first layers", because=because),
        "ReLU or GELU with He initialisation, or normalisation and residual connections",
    )


def _small_update(context: Context) -> Hindrance | None:
    update = context.updates.median
    if not (context.updates.full and update < SMALL_UPDATE):
        return None
    because = f"a step moves the weights by {update:.2g} of their norm; 1e-3 is usual"
    if context.lr > 0:
        factor = 10.0 ** round(math.log10(1e-3 / update))
        fix = f"learning rate {context.lr:.2g} -> {context.lr * factor:.2g}, {factor:g} times"
    else:
        fix = f"a learning rate {1e-3 / update:.0f} times higher, for updates of 1e-3"
    return Hindrance(Cause(cause="learning rate too low", because=because), fix)


def _constant_output(context: Context) -> Hindrance | None:
    last = context.evaluations.last
    if last is None or not last.majority > CONSTANT:
        return None
    because = f"{last.majority:.0%} of the predictions are one class at step {last.step}"
    return Hindrance(
        Cause(cause="the output does not depend on the input", because=because, basis="measured"),
        "inputs of mean 0 and deviation 1, and an initialisation that keeps the activations' scale",
    )
