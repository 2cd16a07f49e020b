"""Whether the first steps of a run were so large that its initial weights are gone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.detectors.loss_level import ABSURD
from traintop.records import Row

LOSSES = 24
"""First losses that are looked at one by one ..."""

LATER = 40
"""... and up to which those after them are: what is noise goes on."""

LEVEL_AFTER = 24
"""Records after which the smoothed loss says whether anything was learnt ..."""

STUCK_AFTER, STUCK_LEVEL, STUCK_FALL = 64, 0.6, 0.04
"""Records after which a loss above that share of its start, of which the last half has won less
than that share, is stuck."""

LAST = 96
"""Records after which nothing of this is asked any more."""

HALF = 0.5
"""An update, where a record is a mean over many steps, that destroys whatever there was."""

BLOWN, BLOWN_LOSSES, BLOWN_MOST, BLOWN_LEVEL = 1.75, 4, 4.0, 0.8
"""Without updates: four of the first losses are above the lower multiple of the very first, one of
them above the higher one, and the level has not fallen below that share of it. The noise of batches
does not do that to a loss."""

BLOWN_KNOWN = 1.35
"""The same where guessing is known: the first losses of a classifier have little noise."""

CALMED = 2.0
"""And the highest of them is this multiple of all that come after: noise stays as it was."""

SHRUNK = 8.0
"""Factor by which the update over the weights falls from the first mean to the second at the same
learning rate: the weights have grown by it."""

GROWN_UPDATE, STANDS = 0.02, 0.97
"""With a first update of at least so much, and a loss that stands from its second mean on."""


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
            if len(self._losses) < LATER and value is not None and value - value == 0.0:
                self._losses.append(value)
        if not self._losses or context.is_open("nan_inf"):
            return False
        if not self._are_large(context):
            return self._blew_up(context)
        guessing = guessing_loss(context.info)
        first = self._losses[0]
        if context.averaged:
            # The first means are over many steps, in which a run that is fine has learnt something.
            return (
                max(self._losses[:2]) >= self._no_better * guessing
                or (bool(context.updates.first) and context.updates.first[0] > HALF)
                or self._weights_grew(context)
            )
        start = max(first, guessing)
        thrown = sum(self._above * start < each < ABSURD for each in self._losses[:LOSSES])
        if thrown >= 2 and loss.count >= 8:
            return True
        if LEVEL_AFTER <= loss.count <= 2 * LEVEL_AFTER:
            least = min(first, loss.start, guessing)
            return loss.level >= self._no_better * least
        return self._is_adam(context) and self._is_stuck(context)

    def _weights_grew(self, context: Context) -> bool:
        """The same in means, by what the first of them left behind."""
        first = context.updates.first
        losses = self._losses
        return (
            len(first) >= 3
            and len(losses) >= 3
            and first[0] > max(GROWN_UPDATE, SHRUNK * first[1])
            and not context.lr_jumps
            and losses[-1] >= STANDS * losses[1]
        )

    def _blew_up(self, context: Context) -> bool:
        """The same by the losses alone, where no updates are recorded.

        `divergence` asks for more at once; this waits for whether the loss comes down again.
        """
        loss = context.loss
        losses = self._losses
        if context.averaged or context.updates.count or len(losses) < LATER:
            return False
        guessing = guessing_loss(context.info)
        start = max(losses[0], guessing)
        blown, most = (BLOWN_KNOWN, BLOWN) if guessing > 0 else (BLOWN, BLOWN_MOST)
        highest = max(losses[:LOSSES])
        return (
            sum(each > blown * start for each in losses[:LOSSES]) >= BLOWN_LOSSES
            and highest > most * start > 0.0
            and highest > CALMED * max(losses[LOSSES:])
            and loss.level >= BLOWN_LEVEL * start
        )

    def _are_large(self, context: Context) -> bool:
        first = context.updates.first
        if context.averaged:
            large = bool(first) and first[0] > self._update_averaged
            return large or self._is_adam(context) or self._weights_grew(context)
        if first:
            # What weight decay takes off at each step is no step of the gradients.
            decay = context.lr * (context.info.weight_decay or 0.0)
            decayed = decay * len(first) if decay > 0.0 else 0.0
            return math.fsum(first) - decayed > self._updates
        return self._is_adam(context)

    def _is_adam(self, context: Context) -> bool:
        optimizer = (context.info.optimizer or "").lower()
        return "adam" in optimizer and context.lr >= self._adam_lr

    def _is_stuck(self, context: Context) -> bool:
        """Whether the loss stands where the wreck of the weights can just get to."""
        loss = context.loss
        if loss.count < STUCK_AFTER or not loss.level > STUCK_LEVEL * loss.start:
            return False
        first = context.trend.first_step
        stretch = context.trend.since(0.5 * (first + context.last_step), loss.noise)
        return stretch is not None and stretch.after > (1.0 - STUCK_FALL) * stretch.before
