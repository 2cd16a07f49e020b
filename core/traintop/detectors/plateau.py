"""Plateau: the loss has stopped falling while there is still much to learn."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import Ladder, mann_kendall, theil_sen
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row

LR_SPREAD = 0.01
"""A learning rate within 1 % is constant (runmedic)."""


class PlateauThresholds(Thresholds, frozen=True):
    """Thresholds of `plateau`.

    The window and the 2 % are runmedic's. That alone would flag the power-law tail of a language
    model and every run that has converged, hence the trend test and the levels.
    """

    window: float = 0.3
    """Share of the planned steps, or of the steps so far where no plan is known, that is flat."""
    window_without_plan: float = 0.4
    """The same where no plan is known: the run may have just begun."""
    least_records: float = 40
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
    evaluation: float = 0.008
    """Share by which an evaluation in the window must improve on those before to be progress."""
    high: float = 0.5
    """Share of the starting loss above which the loss is high whatever the accuracy is."""
    high_without_accuracy: float = 0.2
    """The same where no accuracy is known: a loss this far down has converged."""
    low: float = 0.1
    """Share of the starting loss below which it has converged whatever the accuracy is."""
    accuracy: float = 0.93
    """Best (balanced) validation accuracy from which on the run has learnt its task."""
    lr_decayed: float = 0.1
    """Share of the highest learning rate below which a flat loss is what the schedule is for ..."""
    lr_decayed_by: float = 0.5
    """... unless it got there in this first share of the planned steps."""
    certain: float = 0.05
    """Share of the starting loss by which it may have fallen for all that the noise allows (fall
    plus 2 standard errors); where it may have been more, nothing is said."""
    falls_again: float = 0.03
    """Share below the flat level that ends the episode, and 3 standard errors."""


class Plateau(Detector[PlateauThresholds]):
    """Both halves of a long window at constant learning rate are equal, and the level is high."""

    id = "plateau"
    title = "Training loss has stopped falling"
    needs = "training loss over a longer time"
    thresholds_type: ClassVar[type[Thresholds]] = PlateauThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: PlateauThresholds) -> None:
        super().__init__(context, thresholds)
        self._ladder = Ladder(capacity=96)
        self._rescaled = 0
        self._first_step = -1
        self._lr = math.nan
        self._lr_since = 0
        self._lr_highest = 0.0
        self._accuracy = math.nan
        self._evals: deque[tuple[int, float]] = deque(maxlen=64)
        self._flat_level = 0.0
        self._judged = False

    def on_train(self, row: Row) -> Findings:
        """Take a loss; judge when a block of the series is full."""
        value = row.values.get("loss/train")
        if value is None or value - value != 0.0:
            return ()
        context = self.context
        lr = context.lr
        # A comparison with NaN is false: without a learning rate this never moves.
        if lr != self._lr and lr == lr:
            self._moved_lr(row.step, lr)
        if self._first_step < 0:
            self._first_step = row.step
        if context.rescaled != self._rescaled:
            self._rescaled = context.rescaled
            self._ladder = Ladder(capacity=96)
            self._first_step = row.step
        if not self._ladder.add(row.step, value):
            return ()
        return self._judge_open(row.step) if self.current is not None else self._judge(row.step)

    def on_eval(self, row: Row) -> Findings:
        """Remember accuracy and validation loss, which may say that it still learns."""
        values = row.values
        accuracy = values.get("balanced_accuracy", values.get("accuracy/val", math.nan))
        if not accuracy <= self._accuracy and accuracy == accuracy:
            self._accuracy = accuracy
        loss = values.get("loss/val", math.nan)
        if loss - loss == 0.0:
            self._evals.append((row.step, loss))
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss, or one that is too short."""
        return None if self._judged else self.missing()

    def _moved_lr(self, step: int, lr: float) -> None:
        if not abs(lr - self._lr) <= LR_SPREAD * self._lr:
            self._lr = lr
            self._lr_since = step
            self._lr_highest = max(self._lr_highest, lr)

    def _window_start(self, step: int) -> float:
        planned = self.context.info.planned_steps
        seen = step - self._first_step
        if planned:
            return step - self.thresholds.window * planned
        return step - self.thresholds.window_without_plan * seen

    def _judge(self, step: int) -> Findings:
        context = self.context
        thresholds = self.thresholds
        start = self._window_start(step)
        if start < self._first_step or context.warming_up:
            return ()
        least = thresholds.least_records
        if context.averaged:
            least = thresholds.least_records_averaged
        elif not context.info.planned_steps:
            least = thresholds.least_records_without_plan
        means = self._ladder.since(start)
        if len(means) * self._ladder.length < least or len(means) < 6:
            return ()
        self._judged = True
        if start < self._lr_since or not self._is_high(means) or self._decayed_by_plan():
            return ()
        half = len(means) // 2
        before = sum(means[:half]) / half
        after = sum(means[half:]) / (len(means) - half)
        # The cheapest test first: two halves that differ are no plateau.
        if abs(after - before) >= thresholds.halves * abs(before):
            return ()
        error = self._error(half)
        start_loss = abs(context.loss.start)
        if before - after + 2.0 * error > thresholds.certain * start_loss:
            return ()
        if self._evaluation_improves(start):
            return ()
        gain = -theil_sen(means) * len(means) / abs(before) if before else 0.0
        trend = mann_kendall(means)
        if trend < thresholds.trend_z and gain > thresholds.trend_gain:
            return ()
        self._flat_level = after
        onset = max(self._first_step, round(start))
        # How low a loss can get is only known where guessing is, or from the accuracy: fine-tuning
        # that begins at its floor is flat too. Without either this is advice.
        known = context.loss.chance > 0 or self._accuracy == self._accuracy
        return self.open(
            "warning" if known else "info",
            onset,
            (
                Evidence(
                    what=f"relative fall of the loss since step {onset}",
                    value=1.0 - after / before,
                    threshold=thresholds.halves,
                    step=step,
                ),
                Evidence(what="trend (Mann-Kendall z)", value=trend, threshold=thresholds.trend_z),
                *self._level_evidence(after),
                Evidence(what="level of the loss", value=after, step=step),
            ),
            series=("loss/train",),
            causes=self._causes(),
            next=(
                self.next_test("LR range test", "lr_find", step),
                NextTest(
                    do="Overfit one batch: can the model learn at all?",
                    analysis="overfit_one_batch",
                ),
            ),
        )

    def _judge_open(self, step: int) -> Findings:
        means = self._ladder.since(self._window_start(step))
        latest = means[-max(4, len(means) // 4) :]
        level = sum(latest) / len(latest)
        least = max(
            self.thresholds.falls_again * abs(self._flat_level), 3.0 * self._error(len(latest))
        )
        if level < self._flat_level - least:
            return self.resolve(step)
        return ()

    def _error(self, blocks: int) -> float:
        """Standard error of the difference of two means of so many blocks."""
        return self.context.loss.noise * math.sqrt(2.0 / (blocks * self._ladder.length))

    def _is_high(self, means: list[float]) -> bool:
        """Whether there is still much to learn, by the loss or by the accuracy."""
        thresholds = self.thresholds
        level = means[-1]
        start = self.context.loss.start
        if level > thresholds.high * start:
            return True
        if self._accuracy != self._accuracy:
            return level > thresholds.high_without_accuracy * start
        return self._accuracy < thresholds.accuracy and level > thresholds.low * start

    def _decayed_by_plan(self) -> bool:
        """Whether the learning rate is low because the schedule is near its end."""
        if not self._lr < self.thresholds.lr_decayed * self._lr_highest:
            return False
        planned = self.context.info.planned_steps
        return (
            not planned
            or self._lr_since - self._first_step > self.thresholds.lr_decayed_by * planned
        )

    def _evaluation_improves(self, start: float) -> bool:
        before = [loss for step, loss in self._evals if step < start]
        since = [loss for step, loss in self._evals if step >= start]
        if not before:
            # Nothing came before the window: its own first evaluation is the yardstick.
            before, since = since[:1], since[1:]
        if not before or not since:
            return False
        return min(since) < min(before) - self.thresholds.evaluation * abs(min(before))

    def _level_evidence(self, level: float) -> tuple[Evidence, ...]:
        start = self.context.loss.start
        if self._accuracy == self._accuracy:
            what = "best validation accuracy"
            return (
                Evidence(what=what, value=self._accuracy, threshold=self.thresholds.accuracy),
                Evidence(
                    what="loss over its start", value=level / start, threshold=self.thresholds.high
                ),
            )
        limit = self.thresholds.high_without_accuracy
        return (Evidence(what="loss over its start", value=level / start, threshold=limit),)

    def _causes(self) -> tuple[Cause, ...]:
        for jump in reversed(self.context.lr_jumps):
            if jump.after < jump.before and jump.after <= 0.5 * self._lr_highest:
                factor = jump.before / jump.after if jump.after else math.inf
                because = f"lr fell {factor:.3g}x at step {jump.step} and the loss is flat since"
                return (Cause(cause="learning rate reduced too early", because=because),)
        return ()
