"""That the loss stands still: the consequence that turns a symptom of the layers into a fault."""

from __future__ import annotations

import math

from traintop.detectors.context import Context
from traintop.records import Evidence

SYMPTOMS = ("not_learning", "plateau", "underfitting")
"""Findings that say so too, by other means: where no starting loss is known to measure from."""


def standstill(
    context: Context,
    share: float,
    after: float,
    after_records: float,
    symptoms: tuple[str, ...] = SYMPTOMS,
) -> tuple[Evidence, ...]:
    """The evidence that the loss does not fall; none where it does, or where it is too early.

    Args:
        context: What is known of the run.
        share: Share of the starting loss that the best level must still be at.
        after: Share of the planned steps that must have passed.
        after_records: Training records that must have, where no plan is known.
        symptoms: Findings that say so as well.
    """
    loss = context.loss
    if context.task_without_loss_level or not loss.start > 0:
        return ()
    what = "best smoothed loss over the starting loss"
    value = loss.best / loss.start
    if context.is_open(*symptoms):
        return (Evidence(what=what, value=value, step=context.last_step),)
    planned = context.info.planned_steps
    early = context.last_step < after * planned if planned else context.records < after_records
    # Of means over many steps there are too few to tell when a warm-up is over.
    if early or (context.warming_up and not context.averaged):
        return ()
    if not share <= value < math.inf:
        return ()
    return (Evidence(what=what, value=value, threshold=share, step=context.last_step),)


class NoFall:
    """Whether the loss has not fallen since some step, where its start is no yardstick.

    A regression learns the mean of its targets first, by the last layer alone, and may stand still
    only after that.
    """

    def __init__(self) -> None:
        self._step = -1
        self._level = math.nan

    def add(
        self, context: Context, share: float, after: float, after_records: float
    ) -> tuple[Evidence, ...]:
        """Take the present level; the evidence, once it has stood still for as long as `after`.

        Args:
            context: What is known of the run.
            share: Share of the earlier level that the present one must still be at.
            after: Share of the planned steps that must have passed since.
            after_records: Training records that must have, where no plan is known.
        """
        level, step = context.loss.level, context.last_step
        if self._step < 0 or not 0 < share * self._level <= level:
            self._step, self._level = step, level
            return ()
        planned = context.info.planned_steps
        wait = after * planned if planned else after_records * context.stride
        if context.task_without_loss_level or step - self._step < wait:
            return ()
        what = f"smoothed loss over that of step {self._step}"
        return (Evidence(what=what, value=level / self._level, threshold=share, step=step),)
