"""An optimizer that does not step: exact zeros where updates should be, step after step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from traintop.detectors.context import Context
from traintop.records import Evidence, Row


def idle_records(
    context: Context, *, known: float, unknown: float, rounds: float, averaged: float
) -> float:
    """Updates in a row of exactly 0 that gradient accumulation does not explain.

    Args:
        context: What is known of the run.
        known: The least number where accumulation is known, from `run.json` or earlier updates.
        unknown: The number where it is not.
        rounds: Multiple of the micro-steps of one accumulated step.
        averaged: The number where a record is a mean over many steps.
    """
    if context.averaged:
        return averaged
    updates = context.updates
    declared = context.info.grad_accumulation
    moved = updates.count - updates.zeros
    # Steps without an update for each one with an update, before the present ones.
    usual = (updates.zeros - updates.zero_streak) / moved + 1.0 if moved else 1.0
    least = known if declared or moved else unknown
    return max(least, rounds * max(usual, float(declared or 1)))


def idle_evidence(
    context: Context, rows: Sequence[Row], limit: float, fallen: float
) -> tuple[Evidence, ...]:
    """The evidence that nobody steps; none where there is nothing to apply, or the loss falls.

    Args:
        context: What is known of the run.
        rows: The latest training records.
        limit: What `idle_records` says.
        fallen: Fall of the loss, as share of its start, that refutes it.
    """
    loss = context.loss
    step, values = rows[-1].step, rows[-1].values
    gradient = values.get("grad_norm", math.nan)
    skipped = any(row.values.get("skipped_step") for row in rows)
    if context.lr <= 0 or gradient == 0.0 or skipped:
        return ()
    if loss.progress > max(fallen * abs(loss.start), 3.0 * loss.noise):
        return ()
    found = [
        Evidence(
            what="updates in a row of exactly 0, of all weights",
            value=float(context.updates.zero_streak),
            threshold=limit,
            step=step,
        )
    ]
    if gradient == gradient:
        found.append(Evidence(what="gradient norm", value=gradient, step=step))
    if context.lr == context.lr:
        found.append(Evidence(what="learning rate", value=context.lr, step=step))
    return tuple(found)
