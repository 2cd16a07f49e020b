"""A training loss that has stopped falling while it is still high: the test that several share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss, is_language
from traintop.detectors.loss_trend import Stretch
from traintop.records import Evidence, NotJudged, Row


class StallThresholds(Thresholds, frozen=True):
    """Thresholds of a loss that has stopped falling.

    The window and the 2 % are runmedic's. That alone would flag the power-law tail of a language
    model and every run that has converged, hence the trend test and the levels.
    """

    window: float = 0.3
    """Share of the planned steps that is flat."""
    short_window: float = 0.15
    """The same where the loss is high and even its fastest fall that the noise allows, kept up to
    the end of the plan, would leave it high."""
    window_without_plan: float = 0.4
    """Share of the steps so far where no plan is known: the run may have just begun."""
    least_records: float = 50
    """Records in the window."""
    least_records_without_plan: float = 200
    """The same where no plan is known: the window grows with the run, and begins short."""
    least_records_averaged: float = 6
    """The same where a record is a mean over many steps."""
    halves: float = 0.02
    """Share by which the second half of the window must fall below the first to be progress."""
    trend_z: float = -2.5
    """Mann-Kendall z-score of a fall that is certain (99 %) ..."""
    trend_gain: float = 0.005
    """... and the share that it must win over the window: a slow tail is no plateau."""
    certain: float = 0.05
    """Share of the starting loss by which it may have fallen for all that the noise allows (fall
    plus 2 standard errors); where it may have been more, nothing is said."""
    evaluation: float = 0.008
    """Share by which an evaluation in the window must improve on those before to be progress; in
    the short window, one that would not end high if it went on like that."""
    high: float = 0.5
    """Share of the loss of guessing above which a classifier's loss is high."""
    high_language: float = 0.8
    """The same for a language model, whose floor is the entropy of its text."""
    high_of_start: float = 0.2
    """Share of the starting loss above which it is worth advice where guessing is not known."""
    low_accuracy: float = 0.6
    """Accuracy below which a run that has accuracies has much to learn (AutoTrainer)."""
    lr_lowered: float = 0.5
    """Share of the highest learning rate that a schedule may have gone down to in the window: below
    that, a flat loss is what the schedule is for ..."""
    lr_decayed: float = 0.1
    """... and a constant rate below this share is its end ..."""
    lr_decayed_by: float = 0.5
    """... unless it got there in this first share of the planned steps."""
    near_guessing: float = 0.6
    """Share of the loss of guessing above which most that could be learnt is not: a warning. Below
    it, a flat loss may be the noise of the labels, and is advice."""
    learnt: float = 0.93
    """Share of the loss of guessing, or of the first losses, below which something has been learnt
    (`not_learning`)."""
    falls_again: float = 0.08
    """Share below the flat level that ends the episode, and 3 standard errors."""


S = TypeVar("S", bound=StallThresholds)


class StallDetector(Detector[S]):
    """Both halves of a long window at a working learning rate are equal, and the level is high."""

    needs = "finite training loss over a longer time"
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: S) -> None:
        super().__init__(context, thresholds)
        self._blocks = 0
        self._rescaled = 0
        self._flat_level = 0.0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Judge when the series has another block."""
        trend = self.context.trend
        if trend.blocks == self._blocks:
            return ()
        self._blocks = trend.blocks
        step = rows[-1].step
        if self.current is not None:
            return self._judge_open(step)
        stretch = self._flat(step)
        if stretch is None:
            return ()
        found = self.judge(stretch, step)
        if found:
            self._flat_level = stretch.after
            self._rescaled = self.context.rescaled
        return found

    def judge(self, stretch: Stretch, step: int) -> Findings:
        """Say what a flat stretch means, if anything."""
        raise NotImplementedError

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss, or one that is too short."""
        return None if self._judged else self.missing()

    @property
    def reference(self) -> float:
        """The loss to measure the level by: that of guessing, else the one it started with."""
        guessing = guessing_loss(self.context.info)
        return guessing if guessing > 0 else self.context.trend.start

    @property
    def high(self) -> float:
        """The loss above which there is much to learn."""
        thresholds = self.thresholds
        info = self.context.info
        if not guessing_loss(info) > 0:
            return thresholds.high_of_start * self.context.trend.start
        share = thresholds.high_language if is_language(info) else thresholds.high
        return share * self.reference

    def near_guessing(self, level: float) -> bool:
        """Whether a level is near the loss of guessing, with dropout and without."""
        last = self.context.evaluations.last
        if last is not None and last.loss < level:
            level = last.loss
        # A comparison with NaN is false: without a number of classes nothing is near.
        return level > self.thresholds.near_guessing * guessing_loss(self.context.info)

    def evidence(self, stretch: Stretch, step: int) -> tuple[Evidence, ...]:
        """What was measured of the stretch."""
        thresholds = self.thresholds
        since = round(stretch.steps[0])
        fall = 1.0 - stretch.after / stretch.before
        over = "guessing" if guessing_loss(self.context.info) > 0 else "its start"
        return (
            Evidence(
                what=f"relative fall of the loss since step {since}",
                value=fall,
                threshold=thresholds.halves,
                step=step,
            ),
            Evidence(what="trend (Mann-Kendall z)", value=stretch.trend),
            Evidence(
                what=f"level of the loss ({over}: {self.reference:.4g})",
                value=stretch.after,
                threshold=self.high,
                step=step,
            ),
        )

    def _flat(self, step: int) -> Stretch | None:
        context = self.context
        thresholds = self.thresholds
        if context.warming_up:
            return None
        planned = context.info.planned_steps
        first = context.trend.first_step
        if not planned:
            return self._flat_since(step - thresholds.window_without_plan * (step - first), 0.0)
        found = self._flat_since(step - thresholds.window * planned, 0.0)
        if found is None and guessing_loss(context.info) > 0:
            found = self._flat_since(step - thresholds.short_window * planned, planned - step)
        return found

    def _flat_since(self, since: float, left: float) -> Stretch | None:
        """The stretch since then if it is flat; `left` steps it is to be extrapolated over."""
        context = self.context
        thresholds = self.thresholds
        if since < context.trend.first_step or not self._lr_works(since):
            return None
        stretch = context.trend.since(since, context.loss.noise)
        if stretch is None or stretch.records < self._least_records():
            return None
        self._judged = True
        # The cheapest test first: two halves that differ are no plateau.
        before, after, error = stretch.before, stretch.after, stretch.error
        if abs(before - after) >= thresholds.halves * abs(before) or after < self.high:
            return None
        if before - after + 2.0 * error > thresholds.certain * abs(self.reference):
            return None
        if self._evaluation_improves(since, left):
            return None
        if left:
            falls = after + (stretch.slope - stretch.slope_error) * left < self.high
        else:
            falls = stretch.trend < thresholds.trend_z and stretch.gain > thresholds.trend_gain
        return None if falls else stretch

    def _least_records(self) -> float:
        thresholds = self.thresholds
        if self.context.averaged:
            return thresholds.least_records_averaged
        if not self.context.info.planned_steps:
            return thresholds.least_records_without_plan
        return thresholds.least_records

    def _lr_works(self, since: float) -> bool:
        """Whether the learning rate of the window is one to learn with, and without a jump."""
        context = self.context
        lr, highest = context.lr, context.lr_highest
        if lr != lr:
            return True
        if since < context.trend.lr_since:
            jumps = context.lr_jumps
            return lr >= self.thresholds.lr_lowered * highest and (
                not jumps or jumps[-1].step <= since
            )
        planned = context.info.planned_steps
        if lr >= self.thresholds.lr_decayed * highest or not planned:
            return lr >= self.thresholds.lr_decayed * highest
        reached = context.trend.lr_since - context.trend.first_step
        return reached <= self.thresholds.lr_decayed_by * planned

    def _evaluation_improves(self, since: float, left: float) -> bool:
        losses = [
            (each.step, each.loss)
            for each in self.context.evaluations.past
            if each.loss - each.loss == 0.0
        ]
        before = [loss for step, loss in losses if step < since]
        after = [loss for step, loss in losses if step >= since]
        if not before:
            # Nothing came before the window: its own first evaluation is the yardstick.
            before, after = after[:1], after[1:]
        if not before or not after:
            return False
        fall = min(before) - min(after)
        if left:
            steps = max(1.0, self.context.last_step - since)
            return min(after) - max(0.0, fall) * left / steps < self.high
        return fall > self.thresholds.evaluation * abs(min(before))

    def _judge_open(self, step: int) -> Findings:
        context = self.context
        if context.rescaled != self._rescaled:
            return self.resolve(step)
        planned = context.info.planned_steps
        length = self.thresholds.short_window * (planned or step - context.trend.first_step)
        stretch = context.trend.since(step - length / 2, context.loss.noise)
        if stretch is None:
            return ()
        level = sum(stretch.means) / len(stretch.means)
        least = self.thresholds.falls_again * abs(self._flat_level)
        if level < self._flat_level - max(least, 3.0 * stretch.error):
            return self.resolve(step)
        return ()


def accuracy(context: Context) -> float:
    """The best validation accuracy, else the training accuracy; NaN where neither is logged."""
    best = context.evaluations.best_accuracy
    return context.accuracy if math.isnan(best) else best
