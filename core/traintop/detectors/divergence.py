"""Divergence: the training loss gives back what it had won, and stays there."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.detectors.loss_level import HARM_ERRORS, HARM_OF_BEST, HARM_OF_PROGRESS
from traintop.records import Cause, Evidence, NotJudged, Row, Severity

FEW = 10
"""See `standard_errors_of_few`."""

LAG = 7
"""Records by which a median of 15 follows a step."""

GUESSED = 0.5
"""Share of the loss of guessing above which a first loss is one of guessing."""


class DivergenceThresholds(Thresholds, frozen=True):
    """Thresholds of `divergence`.

    The form is runmedic's (a share of the progress made, not of the loss), which a noisy language
    model loss does not trip as `1.5 x minimum` does; the values are those of a prototype that was
    measured on 417 labelled runs.
    """

    of_progress: float = HARM_OF_PROGRESS
    """Share of the progress since the start that must be lost."""
    of_best: float = HARM_OF_BEST
    """Share above the best level."""
    of_low_start: float = 0.5
    """The same where the run started about as low as its best (fine-tuning without a known number
    of classes): there is no progress to measure by, so half again (trainproof's 1.5 x minimum)."""
    standard_errors: float = HARM_ERRORS
    """Standard errors of the level."""
    standard_errors_of_few: float = 4
    """The same among the first 10 records that are means over many steps: in so few, a fall that
    is none counts as noise."""
    held: float = 30
    """Records that it must hold; one spike, or one bad epoch end, does not."""
    held_when_half_lost: float = 8
    """The same once half of the progress is lost."""
    held_after_lr_rise: float = 40
    """The same after a jump of the learning rate: warm restarts lose ground by design, and regain
    it within a few dozen steps."""
    held_averaged: float = 2
    """The same where a record is a mean over many steps."""
    early_ratio: float = 1.35
    """In the first records: the multiple of the first loss that 4 of 6 must exceed."""
    early_records: float = 60
    """How many records count as the first."""


NOISE_OF_FIRST = 4.0
"""Standard deviations of one record by which the first losses must exceed those before them where
the loss of guessing is not known."""


class FirstLosses:
    """Whether the first losses leave upwards instead of falling, before there is any progress.

    The yardstick is the highest of all losses before the last six: no lucky batch sets it, and
    noise that is as large has shown itself.

    Attributes:
        high: How many of the last losses exceed `reference` by the ratio; `needed` of `window` do
            it.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.high = 0
        self.needed = 4
        self.window = 6
        self.reference = math.nan
        self._last: deque[float] = deque()
        self._before = -math.inf
        self._count = 0

    def add(self, value: float, context: Context) -> bool:
        """Take one of the first losses; return whether they have blown up."""
        loss = context.loss
        self._count += 1
        if context.averaged:
            # The first record is already a mean over many updates: guessing is the better start.
            self.needed = 2
            self.reference = min(loss.first, loss.chance)
        else:
            # A single loss before the others is enough where it is that of guessing, which all
            # batches share; one of a model that has learnt may be a lucky one.
            guessed = loss.first > GUESSED * guessing_loss(context.info)
            if self._count <= (1 if guessed else 6):
                self._before = max(self._before, value)
                return False
            self.reference = max(self._before, loss.start)
        self._last.append(value)
        if len(self._last) > self.window:
            self._before = max(self._before, self._last.popleft())
        limit = self.ratio * abs(self.reference)
        if not loss.chance > 0:
            # Six records of a loss of unknown scale may be calm by chance.
            limit = max(limit, self.reference + NOISE_OF_FIRST * loss.noise)
        self.high = sum(each > limit for each in self._last)
        return self.high >= self.needed

    def clear(self) -> None:
        """Forget the last losses, after they have been reported."""
        self._last.clear()


class Divergence(Detector[DivergenceThresholds]):
    """A smoothed loss far above its best, by the run's own progress and noise, that persists."""

    id = "divergence"
    title = "Training loss diverged"
    needs = "training loss"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = DivergenceThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: DivergenceThresholds) -> None:
        super().__init__(context, thresholds)
        self._of_best = thresholds.of_best
        self._early_records = thresholds.early_records
        self._first = FirstLosses(thresholds.early_ratio)
        self._held = 0
        self._since = 0
        self._calm = 0
        self._worst = 0.0
        self._lr_at_best = math.nan
        self._best = math.inf
        self._eval_best = math.inf
        self._eval_improved_at = -1

    def on_train(self, row: Row) -> Findings:
        """Compare the level with its best."""
        value = row.values.get("loss/train")
        if value is None or value - value != 0.0:
            return ()
        loss = self.context.loss
        best = loss.best
        if best < self._best:
            self._best = best
            self._lr_at_best = self.context.lr
        elif best > self._best:
            # A new regime has begun its own best.
            self._best = best
        if (
            loss.count <= self._early_records
            and self.current is None
            and self._first.add(value, self.context)
        ):
            return self._raise_early(row)
        # A third of the time in healthy runs this cheap gate is all that is computed.
        if not loss.level - best > self._of_best * abs(best):
            if self._held or self.current is not None:
                return self._below(row)
            return ()
        limit = self._limit()
        # The median of two kinds of batches leaps from the one to the other, their mean does not.
        if loss.rise > limit and loss.mean - best > limit:
            return self._above(row)
        return self._below(row)

    def on_eval(self, row: Row) -> Findings:
        """An evaluation as good as the best before it overrules the training loss."""
        value = row.values.get("loss/val")
        if value is None or value - value != 0.0:
            return ()
        if value > self._eval_best:
            self._eval_improved_at = -1
            return ()
        # The first evaluation of all has nothing to improve on.
        if self._eval_best < math.inf:
            self._eval_improved_at = row.step
        self._eval_best = value
        if self.current is None or self._eval_improved_at < self.current.onset_step:
            return ()
        evidence = Evidence(what="new best validation loss", value=value, step=row.step)
        return self.resolve(row.step, evidence=(*self.current.evidence, evidence))

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss."""
        return None if self.context.loss.count else self.missing()

    def _limit(self) -> float:
        loss = self.context.loss
        thresholds = self.thresholds
        low_start = loss.progress < 0.1 * abs(loss.start)
        of_best = thresholds.of_low_start if low_start else thresholds.of_best
        few = self.context.averaged and loss.count <= FEW
        errors = thresholds.standard_errors_of_few if few else thresholds.standard_errors
        return loss.limit(of_best, thresholds.of_progress, errors)

    def _above(self, row: Row) -> Findings:
        loss = self.context.loss
        self._calm = 0
        if not self._held:
            self._since = row.step
            self._worst = loss.level
        self._held += 1
        if self.current is not None:
            if loss.level > 2.0 * self._worst:
                self._worst = loss.level
                return self.update(severity=self._severity(), evidence=self._evidence(row.step))
            return ()
        if self._held < self._needed():
            return ()
        lag = 1 if self.context.averaged else LAG
        onset = max(loss.best_step, self._since - round(lag * self.context.stride))
        if self._eval_improved_at >= onset:
            return ()
        self._worst = loss.level
        return self._raise(
            self._severity(), onset, "Training loss diverged", self._evidence(row.step)
        )

    def _below(self, row: Row) -> Findings:
        self._held = 0
        if self.current is None:
            return ()
        # What began above the first loss is over when the level is back below it.
        early = self.context.loss.level > self.thresholds.early_ratio * self.context.loss.first
        self._calm = 0 if early else self._calm + 1
        if self._calm < (2 if self.context.averaged else 15):
            return ()
        self._calm = 0
        return self.resolve(row.step)

    def _needed(self) -> float:
        thresholds = self.thresholds
        context = self.context
        if context.averaged:
            return thresholds.held_averaged
        loss = context.loss
        half_lost = loss.rise > 0.5 * loss.progress > 0
        jumps = context.lr_jumps
        if jumps and jumps[-1].after > jumps[-1].before and loss.level < loss.start:
            jump = jumps[-1]
            # A restart loses ground until its learning rate has fallen again, but not half of it.
            if jump.restart and not half_lost and context.lr > 0.5 * jump.after:
                return math.inf
            patience = 2.0 * thresholds.held_after_lr_rise * context.stride
            if context.last_step - jump.step < patience:
                return thresholds.held_after_lr_rise
        return thresholds.held_when_half_lost if half_lost else thresholds.held

    def _raise_early(self, row: Row) -> Findings:
        context = self.context
        first = self._first
        self._worst = context.loss.level
        onset = max(0, round(row.step - (first.high + 1) * context.stride))
        if self._eval_improved_at >= onset and context.averaged:
            # Of few means, the first may be the odd one.
            return ()
        limit = first.ratio * first.reference
        evidence = Evidence(
            what=f"losses above {limit:.4g} among the last {first.window}",
            value=float(first.high),
            threshold=float(first.needed),
            step=row.step,
        )
        first.clear()
        title = "Training loss diverged from the start"
        return self._raise("critical", onset, title, (evidence,))

    def _raise(
        self, severity: Severity, onset: int, title: str, evidence: tuple[Evidence, ...]
    ) -> Findings:
        return self.open(
            severity,
            onset,
            evidence,
            title=title,
            series=("loss/train",),
            causes=self._causes(onset),
            next=(
                self.next_test("LR range test", "lr_find", onset),
                self.next_test("Gradient flow through the layers", "gradient_flow", onset),
            ),
        )

    def _severity(self) -> Severity:
        loss = self.context.loss
        lost_half = not loss.rise <= 0.5 * loss.progress
        return "critical" if lost_half or loss.level > loss.first else "warning"

    def _evidence(self, step: int) -> tuple[Evidence, ...]:
        loss = self.context.loss
        thresholds = self.thresholds
        found = [
            Evidence(
                what="smoothed loss",
                value=loss.level,
                threshold=loss.best + self._limit(),
                step=step,
            ),
            Evidence(what="best smoothed loss", value=loss.best, step=loss.best_step),
        ]
        if loss.progress > 0:
            share = loss.rise / loss.progress
            what = "share of the progress that is lost"
            found.append(
                Evidence(what=what, value=share, threshold=thresholds.of_progress, step=step)
            )
        return tuple(found)

    def _causes(self, onset: int) -> tuple[Cause, ...]:
        context = self.context
        rise = context.lr_rise(onset, within=round(max(50.0, 50.0 * context.stride)))
        if rise is not None:
            return (rise,)
        if context.lr >= 2.5 * self._lr_at_best > 0:
            factor = context.lr / self._lr_at_best
            because = f"lr rose {factor:.3g}x since the best loss at step {context.loss.best_step}"
            return (Cause(cause="learning rate too high", because=because, basis="measured"),)
        return ()
