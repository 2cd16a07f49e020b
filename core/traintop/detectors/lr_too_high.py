"""Learning rate too high: the steps are so large that they throw the loss back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context, LrChange
from traintop.detectors.first_steps import FirstSteps
from traintop.detectors.loss_level import ABSURD, HARM_ERRORS, HARM_OF_BEST
from traintop.detectors.step_size import usual_lr
from traintop.records import Cause, Evidence, NotJudged, Row, Severity

LOSSES = 8
"""Losses that are looked at: about as many as catch a jump before the smoothed loss follows."""

LEARNT = 0.6
"""Share of the starting loss below which a run that had lost its weights has learnt after all."""

CALM = 24
"""Records below the level that was lost that end the episode."""


class LrTooHighThresholds(Thresholds, frozen=True):
    """Thresholds of `lr_too_high`. No published rule joins the step size with its consequence."""

    update: float = 0.03
    """Median update over the weights from which on a loss that is thrown back is its doing.
    DeepDiagnosis flags 0.1 alone; healthy Adam begins at up to 0.035 in a few steps."""
    update_diverged: float = 0.02
    """The same once `divergence` has been found, which needs less (a prototype's value)."""
    first_updates: float = 0.8
    """Sum of the first 8 updates over the weights: the initial weights are gone. Healthy runs of
    the same models stay below 0.4."""
    first_update_averaged: float = 0.05
    """The first update that is known where records are means over many steps: it comes after many
    others, which were larger."""
    adam_lr: float = 0.03
    """A learning rate of Adam that stands for such updates where they are not recorded: Adam moves
    each weight by about the rate (Kingma and Ba 2015, section 2.1), and weights are of the order
    of 0.1 and less."""
    above_start: float = 1.05
    """Multiple of the starting loss that 2 of the first 24 losses exceed: thrown away ..."""
    no_better: float = 0.98
    """... or the share of it above which the smoothed loss is after 24 records: a batch's loss is
    noisy."""
    update_before_nan: float = 0.3
    """An update that is followed by NaN and is the cause of it: a third of the weights at once."""
    lr_rise: float = 2.5
    """Rise of the learning rate over all that the run has worked with (a prototype's value); a
    warm restart returns to what has worked."""
    lost: float = 0.5
    """Share of the progress that a loss has lost when it counts as thrown back ..."""
    of_last: float = 4
    """... and how many of the last 8 losses must have."""
    after_jump: float = 64
    """Records after a jump of the learning rate in which a loss thrown back is its doing."""
    ramp_rise: float = 1.5
    """The same rise for one that has come step by step, where a loss that rises with it is seen
    before it is thrown back."""
    ramp_of_best: float = 0.3
    """Share above its best at which the loss is rising with a learning rate that goes on rising.
    Lower than for divergence by the share of the progress: here the cause is seen."""
    ramp_of_progress: float = 0.03
    """The same as a share of the progress, so that a loss that is nearly 0 does not trip it."""
    ramp_errors: float = 3
    """The same in standard errors of the smoothed loss."""
    ramp_records: float = 20
    """Records for which this must hold, more than it does not."""


class _Case(NamedTuple):
    """What speaks for a learning rate that is too high."""

    title: str
    onset: int
    evidence: tuple[Evidence, ...]
    cause: Cause
    fix: str | None


class LrTooHigh(Detector[LrTooHighThresholds]):
    """Large updates, or a learning rate above all that has worked, and a loss that is thrown back.

    A large step is no ailment and a rising loss may have many causes: it takes both. The
    consequence is half of the progress lost in half of the last losses, a divergence or NaN that
    has been found, or no progress at all.
    """

    id = "lr_too_high"
    title = "Learning rate too high"
    needs = "training loss, and the update over the weights or the learning rate"
    record = (
        "Recorder(model, optimizer) records both; or write the keys weight_update and learning_rate"
    )
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = LrTooHighThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LrTooHighThresholds) -> None:
        super().__init__(context, thresholds)
        self._rows: deque[Row] = deque(maxlen=LOSSES)
        self._best = math.inf
        self._highest = 0.0
        self._first_step = -1
        self._worked = math.nan
        self._ramp = 0
        self._ramp_step = 0
        self._bar = math.nan
        self._calm_since: int | None = None
        self._first = FirstSteps(
            updates=thresholds.first_updates,
            update_averaged=thresholds.first_update_averaged,
            adam_lr=thresholds.adam_lr,
            above=thresholds.above_start,
            no_better=thresholds.no_better,
        )

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Look for what speaks for it, the likeliest first; each gate is cheap."""
        context = self.context
        if self._first_step < 0:
            self._first_step = rows[0].step
        self._rows.extend(rows)
        lr = context.lr
        if lr > self._highest:
            self._highest = lr
        best = context.loss.best
        if best != self._best:
            # What the learning rate had reached when the loss was at its best has worked.
            if not best > self._best or best == math.inf:
                self._worked = self._highest
            self._best = best
        if self.current is not None:
            return self._judge_open()
        case = self._case(rows)
        if case is None:
            return ()
        loss = context.loss
        self._bar = (
            loss.best + self._ramp_limit() if self._has_learnt() else LEARNT * abs(loss.start)
        )
        self._calm_since = None
        self._first.is_over = True
        return self._raise(case)

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss, or with neither updates nor learning rate."""
        context = self.context
        known = context.updates.count or context.lr == context.lr
        return None if context.loss.count and known else self.missing()

    def _case(self, rows: Sequence[Row]) -> _Case | None:
        context = self.context
        thresholds = self.thresholds
        updates = context.updates
        if context.is_open("nan_inf"):
            return self._before_nan()
        jump = self._jump()
        if jump is not None and self._thrown_back():
            return self._jumped(jump)
        if context.is_open("divergence") and (found := self._diverged()) is not None:
            return found
        if updates.median > thresholds.update and not context.averaged and self._thrown_back():
            return self._large_steps("Steps are so large that they throw the loss back")
        if not self._first.is_over and self._first.destroyed_weights(rows, context):
            return self._destroyed()
        if self._rises_with_lr(len(rows)):
            return self._ramped()
        return None

    def _jump(self) -> LrChange | None:
        """The last rise of the learning rate to more than has worked, if it was a moment ago."""
        context = self.context
        jumps = context.lr_jumps
        jump = jumps[-1] if jumps else None
        if jump is None or not jump.after >= self.thresholds.lr_rise * jump.before > 0:
            return None
        patience = self.thresholds.after_jump * context.stride
        return None if jump.restart or context.last_step - jump.step > patience else jump

    def _thrown_back_from(self) -> float:
        """The loss from which on half of the progress is lost; the start where there is none."""
        loss = self.context.loss
        if not self._has_learnt():
            # A first loss may be a lucky one; that of guessing is not.
            known = loss.chance > 0
            return 1.1 * loss.start if known else loss.start + 3.0 * loss.noise
        # Means over many steps have next to no noise, and too few of them tell it from a jump.
        errors = 0.0 if self.context.averaged else HARM_ERRORS
        return loss.best + loss.limit(HARM_OF_BEST, self.thresholds.lost, errors)

    def _has_learnt(self) -> bool:
        loss = self.context.loss
        return loss.progress > 0.1 * abs(loss.start)

    def _thrown_back(self) -> bool:
        bar = self._thrown_back_from()
        losses = [row.values.get("loss/train", math.nan) for row in self._rows]
        if self.context.averaged:
            return losses[-1] > bar
        # A loss that is not a number is no witness here: `nan_inf` says so.
        return sum(bar < each < ABSURD for each in losses) >= self.thresholds.of_last

    def _rises_with_lr(self, new: int) -> bool:
        """Whether the loss has risen with the learning rate for so long; `new` records came."""
        context = self.context
        loss = context.loss
        thresholds = self.thresholds
        if not context.lr > thresholds.ramp_rise * self._worked:
            self._ramp = 0
            return False
        # A first loss that noise threw high makes no progress of what follows.
        learnt = loss.progress > max(0.5 * abs(loss.start), 5.0 * loss.noise)
        if not (learnt and loss.rise > self._ramp_limit()):
            self._ramp = max(0, self._ramp - new)
            return False
        if not self._ramp:
            self._ramp_step = context.last_step
        self._ramp += new
        return self._ramp >= (2 if context.averaged else thresholds.ramp_records)

    def _ramp_limit(self) -> float:
        limits = self.thresholds
        return self.context.loss.limit(
            limits.ramp_of_best, limits.ramp_of_progress, limits.ramp_errors
        )

    def _large_steps(self, title: str) -> _Case:
        context = self.context
        update = context.updates.median
        return _Case(
            title,
            max(0, round(context.last_step - LOSSES * context.stride)),
            (self._update_evidence(self.thresholds.update), *self._loss_evidence()),
            Cause(
                cause="learning rate too high",
                because=f"a step moves the weights by {update:.2g} of their norm",
                basis="measured",
            ),
            usual_lr(context, update, lower=True),
        )

    def _destroyed(self) -> _Case:
        context = self.context
        first = context.updates.first
        thresholds = self.thresholds
        averaged = context.averaged
        limit = thresholds.first_update_averaged if averaged else thresholds.first_updates
        moved = first[0] if averaged and first else math.fsum(first)
        basis: Literal["measured", "inferred"] = "inferred"
        what = "first updates over the weights, added up"
        if moved > limit:
            because = f"the first steps moved the weights by {moved:.2g} of their norm"
            basis = "measured"
        elif "adam" in (context.info.optimizer or "").lower():
            moved, limit, what = context.lr, thresholds.adam_lr, "learning rate of Adam"
            because = f"Adam moves each weight by about lr = {moved:.2g} in a first step"
        else:
            moved, limit, what = context.loss.level, context.loss.first, "smoothed loss"
            because = "the first losses were thrown up, and it stands near the first one since"
        evidence = Evidence(what=what, value=moved, threshold=limit, step=context.last_step)
        return _Case(
            "The first steps destroyed the initial weights",
            self._first_step,
            (evidence, *self._loss_evidence()),
            Cause(cause="learning rate too high", because=because, basis=basis),
            usual_lr(context, max(first), lower=True) if first else None,
        )

    def _jumped(self, jump: LrChange) -> _Case:
        factor = jump.after / jump.before
        evidence = Evidence(
            what=f"rise of the learning rate at step {jump.step}",
            value=factor,
            threshold=self.thresholds.lr_rise,
            step=jump.step,
        )
        return _Case(
            f"Learning rate rose {factor:.3g}x and threw the loss back",
            jump.step,
            (evidence, *self._loss_evidence()),
            Cause(
                cause="learning rate too high",
                because=f"lr went from {jump.before:.3g} to {jump.after:.3g} at step {jump.step}",
                basis="measured",
            ),
            f"lr {jump.after:.3g} -> {jump.before:.3g}, what it was before step {jump.step}, from "
            "a checkpoint before that step",
        )

    def _ramped(self) -> _Case:
        context = self.context
        lr = context.lr
        worked = self._worked
        loss = context.loss
        evidence = Evidence(
            what="learning rate over the highest at which the loss still fell",
            value=lr / worked,
            threshold=self.thresholds.ramp_rise,
            step=context.last_step,
        )
        return _Case(
            "Learning rate has risen further than the loss bears",
            min(self._ramp_step, context.last_step),
            (evidence, *self._loss_evidence()),
            Cause(
                cause="learning rate too high",
                because=f"lr is {lr:.3g}, and was at most {worked:.3g} until the best loss at step "
                f"{loss.best_step}",
                basis="measured",
            ),
            f"let the learning rate peak at {worked:.3g} instead of {lr:.3g}",
        )

    def _diverged(self) -> _Case | None:
        context = self.context
        found = context.raised["divergence"]
        if (jump := self._jump()) is not None:
            return self._jumped(jump)
        if context.lr >= self.thresholds.ramp_rise * self._worked > 0:
            return self._ramped()._replace(onset=found.onset_step)
        if context.updates.median > self.thresholds.update_diverged:
            case = self._large_steps("Steps are so large that the loss diverged")
            evidence = self._update_evidence(self.thresholds.update_diverged)
            return case._replace(onset=found.onset_step, evidence=(evidence, *case.evidence[1:]))
        return None

    def _before_nan(self) -> _Case | None:
        context = self.context
        found = context.raised["nan_inf"]
        jump = self._jump()
        if jump is not None and jump.step <= found.onset_step:
            return self._jumped(jump)
        updates = [row.values.get("update_ratio", math.nan) for row in self._rows]
        finite = [each for each in (*updates, *context.updates.first) if each < math.inf]
        largest = max(finite, default=0.0)
        limit = self.thresholds.update_before_nan
        if largest < limit or context.last_step - found.onset_step > 2 * LOSSES * context.stride:
            return None
        what = "largest update over the weights before the first NaN"
        return _Case(
            "Steps are so large that the numbers overflow",
            found.onset_step,
            (Evidence(what=what, value=largest, threshold=limit),),
            Cause(
                cause="learning rate too high",
                because=f"a step moved the weights by {largest:.2g} of their norm",
                basis="measured",
            ),
            usual_lr(context, largest, lower=True),
        )

    def _update_evidence(self, limit: float) -> Evidence:
        context = self.context
        return Evidence(
            what="median update over the weights",
            value=context.updates.median,
            threshold=limit,
            step=context.last_step,
        )

    def _loss_evidence(self) -> tuple[Evidence, ...]:
        loss = self.context.loss
        best = Evidence(what="best smoothed loss", value=loss.best, step=loss.best_step)
        step = self.context.last_step
        now = Evidence(what="loss", value=loss.last, threshold=self._thrown_back_from(), step=step)
        return (now, best) if loss.best < math.inf else (now,)

    def _raise(self, case: _Case) -> Findings:
        loss = self.context.loss
        severity: Severity = "critical" if not loss.level < 0.5 * loss.start else "warning"
        series = ("loss/train", "update_ratio") if self.context.updates.count else ("loss/train",)
        return self.open(
            severity,
            case.onset,
            case.evidence,
            title=case.title,
            series=(*series, "lr") if self.context.lr == self.context.lr else series,
            causes=(case.cause,),
            next=(self.next_test("LR range test", "lr_find", case.onset),),
            fixes=() if case.fix is None else (case.fix,),
        )

    def _judge_open(self) -> Findings:
        """Over when the loss has stayed below what it had been thrown back to."""
        context = self.context
        loss = context.loss
        if not loss.level < self._bar or loss.level != loss.level:
            self._calm_since = None
            return ()
        if self._calm_since is None:
            self._calm_since = loss.count
        needed = 2 if context.averaged else CALM
        if loss.count - self._calm_since < needed:
            return ()
        return self.resolve(context.last_step)
