"""Whether many records may be taken in at once, and what is so afterwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traintop.sources.console.position import STRIDES

if TYPE_CHECKING:
    from traintop.records import Floats
    from traintop.sources.console.bulk import Columns
    from traintop.sources.console.plan import Plan
    from traintop.sources.console.position import Position


class Placed(NamedTuple):
    """Where the records of a run of lines stand."""

    step: Floats
    """Shape (lines,)."""
    epoch: Floats
    """Shape (lines,), NaN where unknown."""


def is_plain(plan: Plan) -> bool:
    """Whether the place of a record of this plan depends on its own line alone."""
    step = plan.step
    if step is None or plan.rank or plan.discriminators or plan.bar or plan.meter:
        return False
    if plan.split is not None or plan.continues or not plan.values:
        return False
    if step.inner:
        return plan.epoch is not None and step.total > 0
    return plan.epoch is None


def place_all(columns: list[Columns], count: int, position: Position) -> Placed | None:
    """The places of all lines of a run; None where they have to be looked at one by one.

    Args:
        columns: By make; together they are all lines.
        count: How many lines there are.
        position: Where the training stands.
    """
    if position.axis != "step" or math.isnan(position.step):
        return None
    step = np.empty(count)
    epoch = np.full(count, position.epoch)
    for plan, lines, parts, _, _ in columns:
        assert plan.step is not None  # noqa: S101 - `is_plain` has looked
        counts = parts[plan.step.part]
        if plan.step.inner:
            assert plan.epoch is not None  # noqa: S101 - the same
            epochs, totals = parts[plan.epoch.part], parts[plan.step.total]
            if not position.is_main_total(totals) or math.isnan(position.base):
                return None
            epoch[lines] = epochs
            step[lines] = np.maximum(epochs - position.base, 0.0) * totals + counts
        elif plan.step.over_run or math.isnan(position.epoch):
            step[lines] = counts
        else:
            return None
    rises = np.diff(step, prepend=position.step)
    if not np.isfinite(step).all() or (step != np.floor(step)).any() or (rises < 0).any():
        return None
    forward = rises[rises > 0]
    if len(forward) and forward.max() > STRIDES * min(forward.min(), position.stride):
        return None
    return Placed(step, epoch)
