"""What learning rate would bring a run's updates to their usual size, for fixes with values."""

from __future__ import annotations

from traintop.detectors.context import Context

USUAL_UPDATE = 1e-3
"""The update over the weights that trains well, a rule of thumb (Karpathy, Neural Networks: Zero
to Hero, 2022)."""

LARGEST_FACTOR = 100.0
"""A fix changes a learning rate by no more than this: what is further off, a range test says."""


CUSTOMARY_FACTOR = 3.0
"""Where updates are usual already and the rate is at fault all the same, the next one to try."""


def usual_lr(context: Context, update: float, *, lower: bool) -> str | None:
    """The change of the learning rate that makes updates usual, in words.

    Args:
        context: What is known of the run.
        update: The present update over the weights.
        lower: Whether the rate is too high, so that a fix must not raise it; else it is too low.

    Returns:
        The fix; None where the learning rate or the update is not known.
    """
    lr = context.lr
    if not (lr > 0 and update > 0):
        return None
    factor = min(LARGEST_FACTOR, max(1.0 / LARGEST_FACTOR, USUAL_UPDATE / update))
    if (factor < 1.0) is not lower:
        factor = 1.0 / CUSTOMARY_FACTOR if lower else CUSTOMARY_FACTOR
    return (
        f"lr {lr:.2g} -> {lr * factor:.1g}: a step would move the weights by {update * factor:.1g} "
        f"of their norm instead of {update:.2g}"
    )
