"""What the engine knows of the run, shared by all detectors: regimes, learning rate, loss level."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from traintop.detectors.coincidence import Happenings, ago
from traintop.detectors.evaluations import Evaluations
from traintop.detectors.layer_state import LayerState
from traintop.detectors.loss_level import LossLevel
from traintop.detectors.loss_trend import LossTrend
from traintop.detectors.precedence import AFTERMATH, EXPLAINED_BY
from traintop.detectors.rank_rounds import RankRounds
from traintop.detectors.update_level import UpdateLevel
from traintop.records import Cause, Event, Finding, LayerNames, LayerStats, Row, RunInfo

WARM_UP_STEPS = 50
"""Where no learning rate is known, the first steps are warm-up: these many, or 1 % of the run."""

WARM_UP_FLAT = 20
"""A learning rate that has not moved for these many records has no warm-up going on."""

ACCURACY_WEIGHT = 0.05
"""Weight of the newest record in the smoothed training accuracy."""

WARM_UP_FLAT_AVERAGED = 1
"""The same where a record is a mean over many steps: an epoch or a window."""

LR_JUMP = 2.0
"""A learning rate that changes by this factor in one record begins a new regime."""


@dataclass(frozen=True, slots=True)
class LrChange:
    """A jump of the learning rate."""

    step: int
    before: float
    after: float
    restart: bool
    """Whether it rose to no more than the run has already worked with: a warm restart."""


class Context:
    """What the engine knows of the run; one instance is shared by all detectors, read-only to them.

    Attributes:
        info: `run.json`, or all None.
        last_step: The largest step fed so far.
        records: Training records fed so far.
        regime: Counts changes after which older values are no yardstick (learning rate jump or
            restart, resume, changed batch size); a window that remembers it resets itself.
        rescaled: Counts only those of them after which losses and gradients have another scale or
            start elsewhere: resume and batch size, not the learning rate.
        regime_reason: What began the present regime, for evidence.
        regime_step: Where the present regime began.
        resumes: Counts resumes; `resume_step` is where the last one was, -1 without one.
        warming_up: Whether the learning rate is still in its first rise, or, where no learning
            rate is known, the run in its first steps.
        averaged: Whether a record is a mean over several steps (an epoch or a window).
        lr: The learning rate in force, NaN where it is not logged.
        lr_jumps: The latest jumps of the learning rate, oldest first.
        loss: The level of the training loss.
        trend: Its course over long stretches.
        updates: How far a step moves the weights.
        accuracy: The smoothed training accuracy, NaN where it is not logged.
        evaluations: What was logged of a validation set.
        layers: What the layer records have said.
        ranks: The records of several ranks, step by step.
        happenings: What happened when, for causes.
        raised: The latest finding of each id, of severity `warning` or worse.
        task_without_loss_level: Whether the task is one whose loss says nothing by its level.
    """

    def __init__(self, info: RunInfo | None = None) -> None:
        self.info = RunInfo()
        self.last_step = 0
        self.records = 0
        self.regime = 0
        self.rescaled = 0
        self.regime_reason = "start of the run"
        self.regime_step = 0
        self.resumes = 0
        self.resume_step = -1
        self.warming_up = True
        self.averaged = False
        self.lr = math.nan
        self.lr_jumps: deque[LrChange] = deque(maxlen=16)
        self.loss = LossLevel()
        self.trend = LossTrend()
        self.updates = UpdateLevel()
        self.accuracy = math.nan
        self.evaluations = Evaluations()
        self.layers = LayerState()
        self.ranks = RankRounds()
        self.happenings = Happenings()
        self.raised: dict[str, Finding] = {}
        self.task_without_loss_level = False
        self._first_step = 0
        self._train_step = -1
        self._epoch = -1.0
        self._lr_moved = 0
        self._lr_highest = 0.0
        self._batch_size: float | None = None
        self._checkpoints: list[tuple[int, str]] = []
        self.retarget(info or RunInfo())

    def retarget(self, info: RunInfo) -> None:
        """Take `run.json`, which may come after the first records."""
        self.info = info
        if info.cadence is not None:
            self.averaged = info.cadence != "step"
        self.task_without_loss_level = (info.task or "").lower() in ("rl", "gan")
        classes = info.num_classes or 0
        chance = math.log(classes) if info.task == "classification" and classes > 1 else math.nan
        self.loss.set_scale(chance, self.averaged)
        if info.batch_size is not None:
            self._changed_batch_size(float(info.batch_size))

    def observe(self, row: Row) -> None:
        """Take a training record, before the detectors do."""
        step = row.step
        values = row.values
        if step < self._train_step - 1:
            self._resume(step, f"resumed at step {step} after step {self._train_step}")
        elif not self.records:
            self._first_step = step
        elif self.records < 3 and self.info.cadence is None:
            self._infer_cadence(values.get("num_batches", 1.0))
        self._train_step = step
        self.records += 1
        if step > self.last_step:
            self.last_step = step
        epoch = row.epoch
        # Fractions of an epoch are the same epoch.
        if epoch is not None and not self._epoch <= epoch < self._epoch + 1.0:
            self._begin_epoch(step, epoch)
        lr = values.get("lr")
        if lr is not None:
            if lr != self.lr:
                self._changed_lr(step, lr)
            elif self.warming_up and self.records - self._lr_moved > (
                WARM_UP_FLAT_AVERAGED if self.averaged else WARM_UP_FLAT
            ):
                self.warming_up = False
        elif self.warming_up and self.lr != self.lr:
            limit = max(WARM_UP_STEPS, 0.01 * (self.info.planned_steps or 0))
            self.warming_up = step - self._first_step < limit and not (
                self.averaged and self.records > WARM_UP_FLAT_AVERAGED
            )
        loss = values.get("loss/train")
        if loss is not None:
            self.loss.add(step, loss)
            self.trend.add(step, loss, self.lr)
        batch_size = values.get("batch_size")
        if batch_size is not None and batch_size != self._batch_size:
            self._changed_batch_size(batch_size)

    def observe_block(self, rows: Sequence[Row]) -> None:
        """Take a block of training records that have been observed one by one."""
        for row in rows:
            values = row.values
            update = values.get("update_ratio")
            if update is not None:
                self.updates.add(update)
            accuracy = values.get("accuracy/train")
            if accuracy is not None and accuracy - accuracy == 0.0:
                before = self.accuracy
                weight = 1.0 if before != before else 0.5 if self.averaged else ACCURACY_WEIGHT
                self.accuracy = accuracy if weight == 1.0 else before + weight * (accuracy - before)

    def observe_eval(self, row: Row) -> None:
        """Take an evaluation, before the detectors do."""
        self.saw_step(row.step)
        self.evaluations.add(row, self.loss.level)
        self.happenings.add("evaluation", row.step, "an evaluation")

    def observe_layer_names(self, names: LayerNames) -> None:
        """Take the names of the layers, before the detectors do."""
        self.layers.rename(names)

    def observe_layers(self, stats: LayerStats) -> None:
        """Take layer statistics, before the detectors do."""
        self.saw_step(stats.step)
        self.layers.add(stats)

    def observe_finding(self, finding: Finding) -> None:
        """Take what a detector has said, for those that ask what it explains."""
        if finding.severity != "info":
            self.raised[finding.id] = finding

    def is_open(self, *ids: str) -> bool:
        """Whether a finding of one of these ids, of severity `warning` or worse, is open."""
        raised = self.raised
        return any(each in raised and raised[each].resolved_step is None for each in ids)

    def explanation(self, name: str) -> Finding | None:
        """The earliest finding that explains `name`, of those open or over a moment ago."""
        since = self.last_step - AFTERMATH * self.stride
        raised = self.raised
        causes = [raised[cause] for cause in EXPLAINED_BY.get(name, ()) if cause in raised]
        open_ones = [
            each for each in causes if each.resolved_step is None or each.resolved_step >= since
        ]
        return min(open_ones, key=lambda each: each.onset_step, default=None)

    @property
    def lr_highest(self) -> float:
        """The highest learning rate so far, 0 where none is logged."""
        return self._lr_highest

    @property
    def lr_was_lowered(self) -> bool:
        """Whether the latest jumps of the learning rate have one downwards."""
        return any(jump.after < jump.before for jump in self.lr_jumps)

    @property
    def share_done(self) -> float:
        """Share of the planned steps that is done; NaN where no plan is known."""
        planned = self.info.planned_steps
        return (self.last_step + 1) / planned if planned else math.nan

    def observe_event(self, event: Event) -> None:
        """Take an event, before the detectors do."""
        step = self._train_step if event.step is None else event.step
        if event.event == "resume":
            self._resume(max(step, 0), f"resumed at step {max(step, 0)}")
        elif event.event == "checkpoint":
            path = event.fields.get("path")
            if isinstance(path, str) and step >= 0:
                self._checkpoints.append((step, path))
                self.happenings.add("checkpoint", step, "a checkpoint")

    @property
    def stride(self) -> float:
        """Steps from one training record to the next, on average."""
        # Without `max`: the engine asks with every record.
        steps, gaps = self._train_step - self._first_step, self.records - 1
        return steps / gaps if steps > gaps > 0 else 1.0

    def saw_step(self, step: int) -> None:
        """Note the step of something that is no training record."""
        if step > self.last_step:
            self.last_step = step

    def checkpoint_before(self, step: int) -> str | None:
        """The path of the last checkpoint at or before `step`."""
        before = [(at, path) for at, path in self._checkpoints if at <= step]
        return max(before, key=lambda checkpoint: checkpoint[0])[1] if before else None

    def lr_jump_up(self, onset: int, within: int) -> LrChange | None:
        """The last rise of the learning rate in one record that may explain what began at `onset`.

        Args:
            onset: Where the symptom began.
            within: How many steps before it the jump may lie; one shortly after `onset` counts
                too, because onsets are estimates.
        """
        for jump in reversed(self.lr_jumps):
            if jump.after > jump.before and onset - within <= jump.step <= onset + within // 4:
                return jump
        return None

    def lr_rise(self, onset: int, within: int) -> Cause | None:
        """The same as a cause."""
        jump = self.lr_jump_up(onset, within)
        if jump is None:
            return None
        factor = (
            f"{jump.after / jump.before:.3g}x" if jump.before else f"from 0 to {jump.after:.3g}"
        )
        return Cause(
            cause="learning rate too high",
            because=f"lr rose {factor} at step {jump.step}, {ago(onset - jump.step)}",
            basis="measured",
        )

    def _begin_epoch(self, step: int, epoch: float) -> None:
        if self._epoch >= 0 and epoch - epoch == 0.0:
            self.happenings.add("epoch", step, "an epoch")
        if epoch - epoch == 0.0:
            self._epoch = float(math.floor(epoch))

    def _infer_cadence(self, num_batches: float) -> None:
        """Take records for means where they say that they hold many batches, far apart in steps."""
        if not self.averaged and num_batches >= 5 and self.stride >= 5:
            self.averaged = True
            self.loss.set_scale(self.loss.chance, averaged=True)

    def _changed_lr(self, step: int, lr: float) -> None:
        before = self.lr
        if lr - lr != 0.0:
            return
        self.lr = lr
        if before != before:
            # The first learning rate seen: whether it rises is known with the second.
            self._lr_highest = lr
            self._lr_moved = self.records
            return
        highest = self._lr_highest
        if lr > highest:
            self._lr_highest = lr
        jumped_up = lr >= LR_JUMP * before
        rising = lr > before
        # A warm-up from 0 or from a tiny factor jumps at its first records: no jump for that.
        warms_up = self.warming_up and self.records - self._lr_moved <= WARM_UP_FLAT
        if warms_up and rising and (not jumped_up or self.records <= 3):
            self._lr_moved = self.records
            return
        self.warming_up = False
        if jumped_up or lr <= before / LR_JUMP:
            self.lr_jumps.append(LrChange(step, before, lr, restart=before < lr <= 1.05 * highest))
            self._begin(
                step, f"lr went from {before:.3g} to {lr:.3g} at step {step}", rescaled=False
            )

    def _changed_batch_size(self, batch_size: float) -> None:
        before, self._batch_size = self._batch_size, batch_size
        if before is not None and before != batch_size and self.records:
            step = self._train_step
            words = f"batch size went from {before:g} to {batch_size:g} at step {step}"
            self._begin(step, words, rescaled=True)

    def _resume(self, step: int, reason: str) -> None:
        self.resumes += 1
        self.resume_step = step
        self._begin(step, reason, rescaled=True)

    def _begin(self, step: int, reason: str, *, rescaled: bool) -> None:
        self.regime += 1
        self.regime_reason = reason
        self.regime_step = step
        if rescaled:
            self.rescaled += 1
            self.loss.restart()
            self.trend.restart()
            self.happenings.add("regime", step, reason.split(" at step")[0])
        self.updates.restart()
