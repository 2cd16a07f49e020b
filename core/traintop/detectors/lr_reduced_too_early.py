"""Learning rate reduced too early: a drop while the loss was falling fast, and it stands since."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context, LrChange
from traintop.detectors.loss_level import ABSURD
from traintop.records import Cause, Evidence, NotJudged, Row

BEFORE = 40
"""Losses before a drop that its slope is taken from, at most."""

LEAST = 6
"""Losses that a slope needs."""

MEANS = 4
"""Means over many steps after a drop, among which two that stand are looked for."""


class LrReducedTooEarlyThresholds(Thresholds, frozen=True):
    """Thresholds of `lr_reduced_too_early`.

    No rule is published. This one compares the loss with what it would have been, had it gone on
    falling as before the drop: what it falls *because of* the drop is not held against it.
    """

    drop: float = 0.4
    """A learning rate multiplied by less than this in one record is a step of a schedule (a
    prototype's value); smooth decays are planned and judged by `lr_schedule_mismatch`."""
    share: float = 0.15
    """Share of the planned steps before which a step of a usual size is early. Schedules divide by
    up to 10 and begin at a third of the run (He et al. 2016: at 30 of 90 epochs), where a language
    model is still falling; a healthy margin is left."""
    hard: float = 0.08
    """A drop to less is no usual step: it all but ends the training ..."""
    share_hard: float = 0.45
    """... and is early before this share (a prototype's value). Without a known plan only such
    drops count."""
    trend_z: float = -2.0
    """t-value of the slope before the drop that is a falling loss: 95 %."""
    expected: float = 0.05
    """Share of the progress so far by which the loss would have fallen in as many steps again; a
    loss that had flattened out may be cooled down."""
    achieved: float = 0.25
    """Share of that fall that was reached; less, and the loss stands still."""
    level: float = 0.2
    """Share of the starting loss above which there is much left to learn."""
    records: float = 14
    """Records since the drop."""
    records_averaged: float = 2
    """The same where a record is a mean over many steps."""
    falls_again: float = 0.75
    """Share of the level after the drop below which the loss has moved on after all."""


class LrReducedTooEarly(Detector[LrReducedTooEarlyThresholds]):
    """A step down of the learning rate early in the run, a steep slope before it, none after."""

    id = "lr_reduced_too_early"
    title = "Learning rate reduced too early"
    needs = "training loss and learning rate"
    record = "Recorder(model, optimizer) records both; or write the key learning_rate"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = LrReducedTooEarlyThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LrReducedTooEarlyThresholds) -> None:
        super().__init__(context, thresholds)
        self._recent: deque[Row] = deque(maxlen=BEFORE)
        self._rescaled = 0
        self._seen: LrChange | None = None
        self._drop: LrChange | None = None
        self._slope = 0.0
        self._before = math.nan
        self._after: list[tuple[int, float]] = []
        self._noise = 0.0
        self._bar = math.nan

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Note a drop with the slope before it; then compare what comes after."""
        context = self.context
        if context.rescaled != self._rescaled:
            # Losses of another scale make no slope with these.
            self._rescaled = context.rescaled
            self._drop = None
            self._recent.clear()
        jumps = context.lr_jumps
        if jumps and jumps[-1] is not self._seen:
            self._seen = jumps[-1]
            found = self._note(jumps[-1], rows)
            self._recent.clear()
            return found
        if self._drop is not None:
            return self._compare(rows)
        if self.current is not None:
            return self._judge_open()
        self._recent.extend(rows)
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss or learning rate."""
        context = self.context
        return None if context.loss.count and context.lr == context.lr else self.missing()

    def _note(self, jump: LrChange, rows: Sequence[Row]) -> Findings:
        """Whether a change of the learning rate is an early drop from a steep slope."""
        self._drop = None
        if self.current is not None and jump.after > jump.before:
            # What was said of the drop is put right.
            return self.resolve(jump.step)
        if self.current is not None or not self._is_early(jump):
            return ()
        past = [*self._recent, *rows]
        before = losses_of(past, -math.inf, jump.step)
        loss = self.context.loss
        least = 2 if self.context.averaged else LEAST
        if len(before) < least:
            return ()
        slope, error, level = trend(before)
        length = before[-1][0] - before[0][0]
        if not slope < self.thresholds.trend_z * error:
            return ()
        expected = -slope * length
        progress = max(loss.start - level, 0.0)
        if not (
            expected > self.thresholds.expected * progress > 0.0
            and level > self.thresholds.level * loss.start
        ):
            return ()
        self._drop = jump
        self._slope = slope
        self._before = level
        self._noise = loss.noise
        self._after = losses_of(past, jump.step, math.inf)
        return ()

    def _is_early(self, jump: LrChange) -> bool:
        """By the plan; where there is none, only a drop that ends all learning counts."""
        thresholds = self.thresholds
        factor = jump.after / jump.before if jump.before > 0 else math.nan
        if not factor < thresholds.drop:
            return False
        # The end of a pulse is no reduction: it goes back to what was before.
        jumps = self.context.lr_jumps
        if len(jumps) > 1 and jumps[-2].before < 1.5 * jump.after < jumps[-2].after:
            return False
        planned = self.context.info.planned_steps
        if not planned:
            return factor < thresholds.hard
        done = jump.step / planned
        return done < (thresholds.share_hard if factor < thresholds.hard else thresholds.share)

    def _compare(self, rows: Sequence[Row]) -> Findings:
        drop = self._drop
        context = self.context
        thresholds = self.thresholds
        self._after.extend(losses_of(rows, -math.inf, math.inf))
        averaged = context.averaged
        if drop is None or len(self._after) < (
            thresholds.records_averaged if averaged else thresholds.records
        ):
            return ()
        # Of means over many steps the last two: that with the drop in it may be half and half.
        after = self._after[-2:] if averaged else self._after
        values = [value for _, value in after]
        count = len(values)
        half = count // 2 or 1
        early = sum(values[:half]) / half
        late = sum(values[-half:]) / half
        length = after[-1][0] - after[0][0]
        # From the middle of one half to the middle of the other.
        distance = length * (count - half) / max(1, count - 1)
        expected = -self._slope * distance
        fall = early - late
        error = self._noise * math.sqrt(2.0 / half)
        # How much the loss would have fallen must be visible in the noise; else wait for more.
        if not averaged and expected < 3.0 * error and count < 2 * BEFORE:
            return ()
        # What the drop itself brought is the cooling down that it is there for.
        stands = fall < thresholds.achieved * expected + (0.0 if averaged else error)
        if averaged and not stands and len(self._after) < MEANS:
            return ()
        self._drop = None
        if not (expected > 0.0 and stands and late > thresholds.level * context.loss.start):
            return ()
        self._bar = thresholds.falls_again * late
        return self._raise(drop, expected, fall, late)

    def _raise(self, drop: LrChange, expected: float, fall: float, late: float) -> Findings:
        context = self.context
        thresholds = self.thresholds
        step = context.last_step
        factor = drop.before / drop.after if drop.after > 0 else math.inf
        planned = context.info.planned_steps
        evidence = [
            Evidence(
                what="share of the fall to be expected from the slope before that was reached",
                value=fall / expected,
                threshold=thresholds.achieved,
                step=step,
            ),
            Evidence(what="slope of the loss before the drop, a step", value=self._slope),
            Evidence(
                what="loss over its start",
                value=late / context.loss.start,
                threshold=thresholds.level,
                step=step,
            ),
        ]
        if planned:
            what = "share of the planned steps at the drop"
            limit = thresholds.share_hard if 1.0 / factor < thresholds.hard else thresholds.share
            evidence.append(Evidence(what=what, value=drop.step / planned, threshold=limit))
        keep = f"keep lr at {drop.before:.3g}, from a checkpoint before step {drop.step} on"
        patience = (
            "with ReduceLROnPlateau: a patience longer than the noise of the evaluations needs, "
            f"and a factor of 0.1 to 0.5 instead of {1.0 / factor:.2g}"
        )
        if planned:
            keep += f" to step {planned // 2} or later"
        return self.open(
            "warning",
            drop.step,
            evidence,
            title=f"Learning rate reduced {factor:.3g}x while the loss was falling fast",
            series=("loss/train", "lr"),
            causes=(
                Cause(
                    cause="learning rate reduced too early",
                    because=f"lr went from {drop.before:.3g} to {drop.after:.3g} at step "
                    f"{drop.step}, and the loss stands since",
                    basis="measured",
                ),
            ),
            next=(self.next_test("LR range test", "lr_find", drop.step),),
            fixes=(keep, patience),
        )

    def _judge_open(self) -> Findings:
        return self.resolve(self.context.last_step) if self.context.loss.level < self._bar else ()


def losses_of(rows: Sequence[Row], since: float, until: float) -> list[tuple[int, float]]:
    """Steps and finite losses of the records with `since <= step < until`."""
    return [
        (row.step, value)
        for row in rows
        if since <= row.step < until
        and (value := row.values.get("loss/train")) is not None
        and -ABSURD < value < ABSURD
    ]


def trend(points: Sequence[tuple[int, float]]) -> tuple[float, float, float]:
    """Least squares: slope a step, its standard error, and the line's value at the last point."""
    count = len(points)
    centre = sum(step for step, _ in points) / count
    level = sum(value for _, value in points) / count
    spread = sum((step - centre) ** 2 for step, _ in points)
    if not spread > 0.0:
        return 0.0, 0.0, level
    slope = sum((step - centre) * (value - level) for step, value in points) / spread
    rest = sum((value - level - slope * (step - centre)) ** 2 for step, value in points)
    error = math.sqrt(rest / (max(1, count - 2) * spread))
    return slope, error, level + slope * (points[-1][0] - centre)
