"""Whether the first steps of a run were so large that its initial weights are gone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.detectors.loss_level import ABSURD
from traintop.records import Row

LOSSES = 16
"""First losses that are looked at one by one."""

LEVEL_AFTER = 24
"""Records after which the smoothed loss says whether anything was learnt ..."""

LAST = 40
"""... and after which it is no longer asked."""


class FirstSteps:
    """The first losses and updates of a run, until they are no longer the first.

    Args:
        updates: Sum of the first 8 updates over the weights that replaces them.
        update_averaged: The same for the first update that is known, where a record is a mean over
            many steps.
        adam_lr: Learning rate of Adam that stands for such updates where none are recorded.
        above: Multiple of the starting loss that a loss which is thrown away exceeds.
        no_better: Share of the starting loss above which nothing has been learnt.
    """

    def __init__(
        self,
        *,
        updates: float,
        update_averaged: float,
        adam_lr: float,
        above: float,
        no_better: float,
    ) -> None:
        self.is_over = False
        self._updates = updates
        self._update_averaged = update_averaged
        self._adam_lr = adam_lr
        self._above = above
        self._no_better = no_better
        self._losses: list[float] = []

    def destroyed_weights(self, rows: Sequence[Row], context: Context) -> bool:
        """Take the next records; return whether large steps left the loss none the better."""
        loss = context.loss
        self.is_over = loss.count >= LAST
        for row in rows:
            value = row.values.get("loss/train")
            if len(self._losses) < LOSSES and value is not None and value - value == 0.0:
                self._losses.append(value)
        if not self._losses or not self._are_large(context):
            return False
        guessing = guessing_loss(context.info)
        first = self._losses[0]
        if context.averaged:
            # The first mean is over many steps, in which a run that is fine has learnt something.
            return first >= self._no_better * guessing
        start = max(first, guessing)
        thrown = sum(self._above * start < each < ABSURD for each in self._losses)
        if thrown >= 2 and loss.count >= 8:
            return True
        least = min(first, loss.start)
        least = min(least, guessing)
        return loss.count >= LEVEL_AFTER and loss.level >= self._no_better * least

    def _are_large(self, context: Context) -> bool:
        first = context.updates.first
        if context.averaged:
            return bool(first) and first[0] > self._update_averaged
        if first:
            return math.fsum(first) > self._updates
        optimizer = (context.info.optimizer or "").lower()
        return "adam" in optimizer and context.lr >= self._adam_lr
