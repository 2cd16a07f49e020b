"""Not learning: the loss has not left the level of guessing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.detectors.hindrances import hindrance
from traintop.detectors.loss_trend import Stretch
from traintop.detectors.stall import accuracy
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row


class NotLearningThresholds(Thresholds, frozen=True):
    """Thresholds of `not_learning`; values are a prototype's unless another source is named."""

    level: float = 0.93
    """Share of the loss of guessing, or of the first losses where guessing is not known, above
    which next to nothing has been learnt."""
    patience: float = 0.12
    """Share of the planned steps to wait where the state of the run shows a hindrance ..."""
    patience_without_cause: float = 0.2
    """... and where it does not: a late start looks the same."""
    records_without_plan: float = 400
    """Records to wait where no plan is known."""
    most_records: float = 3000
    """Records after which it is said however long the plan is: pre-training runs leave guessing
    within their first hundreds of steps."""
    least_records: float = 40
    """Records to wait at least."""
    least_records_averaged: float = 3
    """The same where a record is a mean over many steps."""
    will_reach: float = 0.82
    """Share of that level which the present slope (less its standard error) must not reach by the
    end of the plan."""
    learnt_accuracy: float = 0.6
    """Accuracy from which on a run has learnt something, whatever its loss (AutoTrainer)."""
    recovered: float = 0.9
    """Share of the loss of guessing below which the episode is over."""


class NotLearning(Detector[NotLearningThresholds]):
    """A loss near guessing after a share of the run, in which warm-up does not count.

    Where neither guessing nor an accuracy is known, a run that began at its floor (fine-tuning,
    a resumed run) looks the same, and it is advice.
    """

    id = "not_learning"
    title = "The model is not learning"
    needs = "finite training loss over a longer time"
    record = "loss at every step; num_classes=, planned_steps="
    thresholds_type: ClassVar[type[Thresholds]] = NotLearningThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: NotLearningThresholds) -> None:
        super().__init__(context, thresholds)
        self._blocks = 0
        self._warm_until = 0
        self._warm_records = 0
        self._rescaled = 0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Judge when the series has another block."""
        context = self.context
        step = rows[-1].step
        if context.warming_up:
            self._warm_until = step
            self._warm_records = context.records
            return ()
        trend = context.trend
        if trend.blocks == self._blocks:
            return ()
        self._blocks = trend.blocks
        if self.current is not None:
            return self._judge_open(step)
        # After a drop of the learning rate, a loss that stays is a plateau.
        if not self._patient(step, self.thresholds.patience) or context.lr_was_lowered:
            return ()
        self._judged = True
        reference = self._reference()
        if not context.loss.level > self.thresholds.level * reference:
            return ()
        return self._judge(step, reference)

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss, or one that is too short."""
        return None if self._judged else self.missing()

    def _reference(self) -> float:
        guessing = guessing_loss(self.context.info)
        return guessing if guessing > 0 else self.context.trend.start

    def _patient(self, step: int, share: float) -> bool:
        context = self.context
        thresholds = self.thresholds
        records = context.records - self._warm_records
        least = thresholds.least_records_averaged if context.averaged else thresholds.least_records
        if records < least:
            return False
        planned = context.info.planned_steps
        if not planned:
            few = 3.0 * least if context.averaged else thresholds.records_without_plan
            return records >= few
        began = max(self._warm_until, context.trend.first_step)
        return step - began >= share * planned or records >= thresholds.most_records

    def _judge(self, step: int, reference: float) -> Findings:
        context = self.context
        thresholds = self.thresholds
        began = max(self._warm_until, context.trend.first_step)
        stretch = context.trend.since(began + 0.5 * (step - began), context.loss.noise)
        if stretch is None and not context.averaged:
            return ()
        # A fall that is no more than noise is none.
        slope = stretch.slope + stretch.slope_error if stretch is not None else 0.0
        level = stretch.after if stretch is not None else context.loss.level
        planned = context.info.planned_steps
        left = planned - step if planned else 3 * (step - began)
        learnt = accuracy(context)
        if (
            not level > thresholds.level * reference
            or level + slope * left < thresholds.will_reach * reference
            or learnt > thresholds.learnt_accuracy
            or min(context.loss.best, context.evaluations.best) < thresholds.level * reference
        ):
            return ()
        found = hindrance(context)
        if found is None and not self._patient(step, thresholds.patience_without_cause):
            return ()
        known = guessing_loss(context.info) > 0 or learnt == learnt
        self._rescaled = context.rescaled
        cause = found.cause if found is not None else self._unknown_cause()
        return self.open(
            "warning" if known else "info",
            context.trend.first_step,
            self._evidence(step, level, reference, stretch, learnt),
            series=("loss/train",),
            causes=(cause,),
            next=(
                NextTest(
                    do="Overfit one batch: can the model learn at all?",
                    analysis="overfit_one_batch",
                ),
                self.next_test("Gradient flow through the layers", "gradient_flow", step),
                self.next_test("LR range test", "lr_find", step),
            ),
            fixes=(found.fix,) if found is not None else (),
        )

    def _evidence(
        self, step: int, level: float, reference: float, stretch: Stretch | None, learnt: float
    ) -> list[Evidence]:
        thresholds = self.thresholds
        over = "guessing" if guessing_loss(self.context.info) > 0 else "the first losses"
        found = [
            Evidence(
                what=f"loss over that of {over} ({reference:.4g})",
                value=level / reference if reference else math.nan,
                threshold=thresholds.level,
                step=step,
            )
        ]
        if stretch is not None:
            what = "slope of the loss per 1000 steps"
            found.append(Evidence(what=what, value=1000.0 * stretch.slope, step=step))
        if learnt == learnt:
            limit = thresholds.learnt_accuracy
            found.append(Evidence(what="best accuracy", value=learnt, threshold=limit))
        return found

    def _unknown_cause(self) -> Cause:
        update = self.context.updates.median
        losses = [each.loss for each in self.context.evaluations.past]
        if len(losses) > 2 and all(later < loss for loss, later in pairwise(losses[-4:])):
            because = f"each evaluation is a little better than the last, {losses[-1]:.4g} now"
            return Cause(cause="learning rate too low", because=because)
        if update > 0:
            because = f"the weights move by {update:.2g} a step and nothing holds them back"
            return Cause(cause="inputs and labels that do not belong together", because=because)
        because = "neither updates nor gradients per layer are recorded, which would tell"
        return Cause(cause="learning rate, labels or initialisation", because=because)

    def _judge_open(self, step: int) -> Findings:
        context = self.context
        learns = context.loss.level < self.thresholds.recovered * self._reference()
        if learns or context.rescaled != self._rescaled:
            return self.resolve(step)
        return ()
