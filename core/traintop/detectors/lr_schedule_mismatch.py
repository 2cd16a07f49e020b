"""Learning rate schedule mismatch: the schedule and the run do not fit each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row, Severity

SCHEDULER = "scheduler.step() once per optimizer step, on each process alike"


class LrScheduleMismatchThresholds(Thresholds, frozen=True):
    """Thresholds of `lr_schedule_mismatch`.

    What goes wrong is known from issues (a schedule that is stepped by each of N processes or for
    each of N accumulated batches: accelerate#2926, #963, diffusers#3954; a scheduler that is not
    restored: trackio#125), no threshold is published.
    """

    moves: float = 10
    """Values below its peak that a learning rate must have taken: a schedule that decays smoothly,
    no step schedule, and no plateau that it was reduced at."""
    ended: float = 0.01
    """Share of the peak below which a decay has ended."""
    share_ended: float = 0.75
    """Share of the planned steps before which that is too early."""
    rests: float = 0.02
    """Share of the planned steps for which it must have stood there, and no less than 20
    records: a warm restart comes sooner."""
    whole: float = 0.06
    """How far the plan, over the step at which the schedule ended, may be from a whole number for
    the number to be the cause."""
    zero: float = 0.1
    """Share of the planned steps with a learning rate of 0 (trainproof says 10 % of the rows)."""
    zero_records: float = 20
    """Records in a row with a learning rate of 0; one at the start of a warm-up is usual."""
    share_late: float = 0.9
    """Share of the planned steps at which a schedule made for this run is about to end ..."""
    late: float = 0.5
    """... and the share of the peak above which it is not. Advice: it may be meant."""
    restart: float = 2.0
    """Rise of the learning rate at a resume over what it had decayed to."""


class LrScheduleMismatch(Detector[LrScheduleMismatchThresholds]):
    """A decay that ends long before the plan, a learning rate of 0, a schedule begun anew.

    A learning rate of 0 counts only where nothing moves, or where the log prints values as small
    as that: rounded to a few digits the tail of a decay is 0 too.
    """

    id = "lr_schedule_mismatch"
    title = "Learning rate schedule does not fit the run"
    needs = "learning rate and the number of planned steps"
    record = (
        "Recorder(model, optimizer, planned_steps=...), or the keys learning_rate, planned_steps"
    )
    thresholds_type: ClassVar[type[Thresholds]] = LrScheduleMismatchThresholds

    def __init__(self, context: Context, thresholds: LrScheduleMismatchThresholds) -> None:
        super().__init__(context, thresholds)
        self._lr = math.nan
        self._peak = 0.0
        self._moves = 0
        self._smallest = math.inf
        self._since = 0
        self._records = 0
        self._resumes = 0
        self._resumed: tuple[int, float, bool] | None = None
        self._before = math.nan
        """Where the open episode is of a schedule that began anew: the rate that it had come to."""
        self._said_late = False
        self._is_late = False
        """Whether the open episode is of a schedule that ends after the run: nothing mends it."""

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Follow the schedule, record by record where it moves."""
        context = self.context
        if context.resumes != self._resumes:
            self._resumes = context.resumes
            self._note_resume(context.resume_step)
        # Most records of most runs: nothing has moved.
        if context.lr == self._lr and rows[-1].values.get("lr") == self._lr:
            self._records += len(rows)
        else:
            for row in rows:
                lr = row.values.get("lr")
                if lr is not None and lr - lr == 0.0:
                    self._follow(row.step, lr)
        if self._lr != self._lr:
            return ()
        if self.current is not None:
            return self._judge_open()
        return self._judge()

    def not_judged(self) -> NotJudged | None:
        """A run without a learning rate or a plan."""
        known = self.context.lr == self.context.lr and self.context.info.planned_steps
        return None if known else self.missing()

    def _note_resume(self, step: int) -> None:
        if self._lr == self._lr and self._resumed is None:
            self._resumed = (step, self._lr, self._decays())

    def _follow(self, step: int, lr: float) -> None:
        if lr == self._lr:
            self._records += 1
            return
        self._lr = lr
        self._since = step
        self._records = 1
        if 0.0 < lr < self._smallest:
            self._smallest = lr
        if lr >= self._peak:
            self._peak = lr
            self._moves = 0
        else:
            self._moves += 1

    def _decays(self) -> bool:
        return self._moves >= self.thresholds.moves

    def _judge(self) -> Findings:
        self._before = math.nan
        if self._resumed is not None:
            found = self._restarted(*self._resumed)
            if found:
                return found
        lr = self._lr
        if self._peak > 0.0 and self._decays() and lr <= self.thresholds.ended * self._peak:
            return self._ended_early()
        if lr == 0.0:
            return self._is_zero()
        return self._ends_late()

    def _judge_open(self) -> Findings:
        """Over when the learning rate is back."""
        found = self.current
        if found is None or self._is_late:
            return ()
        if self._before == self._before:
            over = self._lr <= self._before
        else:
            over = found.onset_step != self._since and self._lr > self.thresholds.ended * self._peak
        return self.resolve(self._since) if over else ()

    def _ended_early(self) -> Findings:
        context = self.context
        thresholds = self.thresholds
        planned = context.info.planned_steps
        if not planned:
            return ()
        rests = max(20 if not context.averaged else 2, thresholds.rests * planned / context.stride)
        if self._since > thresholds.share_ended * planned or self._records < rests:
            return ()
        times = planned / max(1, self._since)
        whole = round(times)
        fits = whole >= 2 and abs(times - whole) <= thresholds.whole * whole
        known = self._times_as_often(whole) if fits else None
        # An end at a small value may be meant; one at 0 ends the training.
        severity: Severity = "warning" if known or self._is_surely_zero() else "info"
        step = context.last_step
        causes = () if known is None else (known,)
        return self.open(
            severity,
            self._since,
            (
                Evidence(
                    what="share of the planned steps at which the schedule ended",
                    value=self._since / planned,
                    threshold=thresholds.share_ended,
                    step=step,
                ),
                Evidence(
                    what="learning rate over its peak",
                    value=self._lr / self._peak,
                    threshold=thresholds.ended,
                    step=step,
                ),
            ),
            title=f"Learning rate schedule ended {times:.2g}x too early",
            series=("lr",),
            causes=(
                *causes,
                Cause(
                    cause="the schedule is made for fewer steps than the run has",
                    because=f"it ended at step {self._since} of {planned}",
                ),
            ),
            next=(NextTest(do="Print the number of steps that the scheduler was given"),),
            fixes=(f"make the schedule for {planned} steps instead of {self._since}; {SCHEDULER}",),
        )

    def _times_as_often(self, times: int) -> Cause | None:
        info = self.context.info
        for count, words in (
            (info.grad_accumulation, "accumulated batch"),
            (info.world_size, "process"),
            ((info.grad_accumulation or 1) * (info.world_size or 1), "batch of each process"),
        ):
            if count == times:
                return Cause(
                    cause=f"the scheduler is stepped once per {words}",
                    because=f"it ended {times}x too early, and there are {times} of them a step",
                    basis="measured",
                )
        return None

    def _is_surely_zero(self) -> bool:
        """Whether the learning rate is 0, and no small number that was rounded."""
        if self._lr != 0.0:
            return False
        updates = self.context.updates
        if updates.count:
            return updates.zero_streak >= min(self._records, self.thresholds.zero_records)
        return self._smallest <= self.thresholds.ended * self._peak

    def _is_zero(self) -> Findings:
        """A learning rate of 0 where no schedule has ended."""
        context = self.context
        thresholds = self.thresholds
        planned = context.info.planned_steps or 0
        least = thresholds.zero * planned / context.stride
        least = max(2.0 if context.averaged else thresholds.zero_records, least)
        if self._records < least or (planned and context.share_done > 0.95):
            return ()
        updates = context.updates
        # Without updates a loss that falls is witness enough that something does move.
        if updates.count:
            if updates.zero_streak < min(least, thresholds.zero_records):
                return ()
        elif context.loss.level < 0.98 * context.loss.start or self._peak > 0.0:
            return ()
        return self.open(
            "warning",
            self._since,
            (
                Evidence(
                    what="records in a row with a learning rate of 0",
                    value=float(self._records),
                    threshold=least,
                    step=context.last_step,
                ),
            ),
            title=f"Learning rate is 0 since step {self._since}",
            series=("lr",),
            causes=(
                Cause(
                    cause="the learning rate is 0: nothing is learnt",
                    because=f"it is 0 in {self._records} records in a row",
                    basis="measured",
                ),
            ),
            next=(NextTest(do="Print optimizer.param_groups and the scheduler's next values"),),
            fixes=(
                f"set the lr back to {self._peak:.3g}, its peak so far"
                if self._peak > 0.0
                else f"give the optimizer an lr, and call {SCHEDULER}",
            ),
        )

    def _ends_late(self) -> Findings:
        context = self.context
        thresholds = self.thresholds
        share = context.share_done
        if self._said_late or not share > thresholds.share_late or not self._decays():
            return ()
        self._said_late = True
        if context.warming_up or self._lr < thresholds.late * self._peak:
            return ()
        self._is_late = True
        planned = context.info.planned_steps
        return self.open(
            "info",
            context.last_step,
            (
                Evidence(
                    what=f"learning rate over its peak at {share:.0%} of the planned steps",
                    value=self._lr / self._peak,
                    threshold=thresholds.late,
                    step=context.last_step,
                ),
            ),
            title="Learning rate schedule is far from its end when the run ends",
            series=("lr",),
            causes=(
                Cause(
                    cause="the schedule is made for more steps than the run has",
                    because=f"lr is {self._lr:.3g}, its peak was {self._peak:.3g}",
                ),
            ),
            fixes=(f"make the schedule for {planned} steps; {SCHEDULER}",),
        )

    def _restarted(self, step: int, before: float, was_decaying: bool) -> Findings:
        """Whether a schedule began anew at a resume, whose learning rate is known by now."""
        context = self.context
        if context.last_step < step:
            return ()
        self._resumed = None
        lr = self._lr
        if not was_decaying or not before > 0.0 or lr < self.thresholds.restart * before:
            return ()
        self._before = before
        return self.open(
            "warning" if context.info.planned_steps else "info",
            step,
            (
                Evidence(
                    what="learning rate after the resume over that before it",
                    value=lr / before,
                    threshold=self.thresholds.restart,
                    step=context.last_step,
                ),
            ),
            title=f"Learning rate schedule began anew at the resume at step {step}",
            series=("lr",),
            causes=(
                Cause(
                    cause="the scheduler's state was not restored",
                    because=f"lr had decayed to {before:.3g} and was {lr:.3g} after the resume",
                    basis="measured",
                ),
            ),
            next=(NextTest(do="Print the scheduler's last_epoch after loading the checkpoint"),),
            fixes=(f"load the scheduler's state_dict as well: lr {lr:.3g} -> {before:.3g}",),
        )
