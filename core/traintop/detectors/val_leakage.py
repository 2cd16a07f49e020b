"""Validation leakage: the validation loss is the training loss under another name."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row


class ValLeakageThresholds(Thresholds, frozen=True):
    """Thresholds of `val_leakage`."""

    equal: float = 3e-5
    """Relative difference at which two losses are one: the rounding of 5 digits (a prototype's
    value). Two losses over different data agree so closely once in ten thousand evaluations."""
    times: float = 3
    """Evaluations in a row that are equal."""
    moved: float = 50.0
    """Multiple of that difference by which the validation loss must have moved from one of them to
    the next: constants and losses of two digits are equal by themselves."""
    below: float = 0.9
    """Validation over training loss that is advice (runmedic) ..."""
    below_share: float = 0.7
    """... where this share of the evaluations lies below it. Dropout, augmentation and label
    smoothing do that too, so it is no more than advice."""
    below_evaluations: float = 8
    """Evaluations that it takes."""


class ValLeakage(Detector[ValLeakageThresholds]):
    """Equal to the mean of the training losses since the last evaluation, or to the next one."""

    id = "val_leakage"
    title = "Validation loss is the training loss"
    needs = "training loss and validation loss, 3 evaluations"
    record = "recorder.evaluate(loss=...) after each evaluation"
    thresholds_type: ClassVar[type[Thresholds]] = ValLeakageThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: ValLeakageThresholds) -> None:
        super().__init__(context, thresholds)
        self._sum = 0.0
        self._count = 0
        self._last = math.nan
        self._waiting: tuple[int, float, float] | None = None
        """Step and loss of an evaluation, and the one before: held against the next record."""
        self._equal = {"the mean of the training losses": 0, "the next training loss": 0}
        self._first_equal: dict[str, int] = {}
        self._before = math.nan
        self._below: deque[bool] = deque(maxlen=20)

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Sum up the training losses."""
        found: Findings = ()
        for row in rows:
            loss = row.values.get("loss/train")
            if loss is None or loss - loss != 0.0:
                continue
            if self._waiting is not None:
                step, value, before = self._waiting
                self._waiting = None
                found = self._compare("the next training loss", step, value, loss, before)
            self._sum += loss
            self._count += 1
        return found

    def on_eval(self, row: Row) -> Findings:
        """Hold an evaluation against the training losses since the last one."""
        value = row.values.get("loss/val")
        if value is None or value - value != 0.0:
            return ()
        found: Findings = ()
        if self._count:
            mean = self._sum / self._count
            name = "the mean of the training losses"
            found = self._compare(name, row.step, value, mean, self._before)
            self._below.append(value < self.thresholds.below * mean)
        self._waiting = (row.step, value, self._before)
        self._before = value
        self._sum, self._count = 0.0, 0
        return found or self._advise(row.step)

    def not_judged(self) -> NotJudged | None:
        """A run without enough evaluations, or without a training loss."""
        return None if len(self._below) >= self.thresholds.times else self.missing()

    def _compare(self, name: str, step: int, value: float, other: float, before: float) -> Findings:
        thresholds = self.thresholds
        tolerance = thresholds.equal * max(abs(value), abs(other))
        equal = abs(value - other) <= tolerance and not (
            abs(value - before) <= thresholds.moved * tolerance
        )
        if not equal:
            self._equal[name] = 0
            if self.current is not None and self.current.severity != "info":
                return self.resolve(step) if not any(self._equal.values()) else ()
            return ()
        self._equal[name] += 1
        if self._equal[name] == 1:
            self._first_equal[name] = step
        if self._equal[name] < thresholds.times:
            return ()
        evidence = (
            Evidence(
                what=f"evaluations in a row equal to {name}",
                value=float(self._equal[name]),
                threshold=thresholds.times,
                step=step,
            ),
            Evidence(
                what="relative difference of the two",
                value=abs(value - other) / max(abs(value), abs(other), 1e-300),
                threshold=thresholds.equal,
            ),
        )
        if self.current is not None:
            if self.current.severity != "info":
                return ()
            return self.update(
                severity="warning",
                title=self.title,
                evidence=evidence,
                causes=self._causes(name),
                fixes=self._fixes(),
            )
        return self.open(
            "warning",
            self._first_equal[name],
            evidence,
            series=("loss/val", "loss/train"),
            causes=self._causes(name),
            next=self._tests(),
            fixes=self._fixes(),
        )

    def _advise(self, step: int) -> Findings:
        thresholds = self.thresholds
        below = self._below
        if len(below) < thresholds.below_evaluations or self.context.loss.count < 20:
            return ()
        share = sum(below) / len(below)
        if self.current is not None:
            if self.current.severity == "info" and share < 0.5 * thresholds.below_share:
                return self.resolve(step)
            return ()
        if share < thresholds.below_share:
            return ()
        return self.open(
            "info",
            step,
            (
                Evidence(
                    what=f"share of evaluations below {thresholds.below:g} of the training loss",
                    value=share,
                    threshold=thresholds.below_share,
                    step=step,
                ),
            ),
            title="Validation loss lies below the training loss",
            series=("loss/val", "loss/train"),
            causes=(
                Cause(
                    cause="dropout, augmentation or label smoothing in training only, a running"
                    " mean as training loss, easier validation data, or an overlap of the two",
                    because="the curves alone cannot tell these apart",
                ),
            ),
            next=self._tests(),
        )

    def _causes(self, name: str) -> tuple[Cause, ...]:
        because = f"the values agree with {name} to {self.thresholds.equal:.0e}"
        cause = "the evaluation runs on training batches, or logs the training loss"
        return (Cause(cause=cause, because=because),)

    def _tests(self) -> tuple[NextTest, ...]:
        return (NextTest(do="Check the splits for overlap", analysis="data"),)

    def _fixes(self) -> tuple[str, ...]:
        return ("evaluate with the validation loader, and log that loss as the validation loss",)
