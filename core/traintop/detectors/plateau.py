"""Plateau: the loss has stopped falling while there is still much to learn."""

from __future__ import annotations

from typing import ClassVar

from traintop.detectors.base import Findings, Thresholds
from traintop.detectors.hindrances import hindrance
from traintop.detectors.loss_trend import Stretch
from traintop.detectors.stall import StallDetector, StallThresholds, accuracy
from traintop.records import Cause, Evidence, NextTest


class PlateauThresholds(StallThresholds, frozen=True):
    """Thresholds of `plateau`."""

    high_start: float = 0.5
    """Share of the starting loss above which a low accuracy, where the classes are not known, makes
    a warning of advice."""


class Plateau(StallDetector[PlateauThresholds]):
    """Both halves of a long window at a working learning rate are equal, and the level is high.

    How low a loss can get is only known where guessing is, or from the accuracy: fine-tuning that
    begins at its floor, and a regression at its noise, are flat too. Without either it is advice.
    """

    id = "plateau"
    title = "Training loss has stopped falling"
    record = "loss at every step; recorder.evaluate(loss=..., accuracy=...); num_classes="
    thresholds_type: ClassVar[type[Thresholds]] = PlateauThresholds

    def judge(self, stretch: Stretch, step: int) -> Findings:
        """Say that the loss is flat."""
        context = self.context
        start = context.trend.start
        learnt = accuracy(context)
        if stretch.after > self.thresholds.learnt * self.reference and not context.lr_was_lowered:
            # What has never left the level of guessing is not learning, which is another finding.
            return ()
        low = learnt < self.thresholds.low_accuracy
        known = self.near_guessing(stretch.after) or (
            low and stretch.after > self.thresholds.high_start * start
        )
        evidence = list(self.evidence(stretch, step))
        if learnt == learnt:
            limit = self.thresholds.low_accuracy
            evidence.append(Evidence(what="best accuracy", value=learnt, threshold=limit))
        causes, fixes = self._causes()
        return self.open(
            "warning" if known else "info",
            max(context.trend.first_step, round(stretch.steps[0])),
            evidence,
            series=("loss/train",),
            causes=causes,
            next=(
                self.next_test("LR range test", "lr_find", step),
                NextTest(
                    do="Overfit one batch: can the model learn at all?",
                    analysis="overfit_one_batch",
                ),
            ),
            fixes=fixes,
        )

    def _causes(self) -> tuple[tuple[Cause, ...], tuple[str, ...]]:
        context = self.context
        for jump in reversed(context.lr_jumps):
            if jump.after < jump.before and jump.after <= 0.5 * context.lr_highest:
                factor = f"{jump.before / jump.after:.3g}x" if jump.after else "to 0"
                because = f"lr fell {factor} at step {jump.step} and the loss is flat since"
                cause = Cause(cause="learning rate reduced too early", because=because)
                fix = f"learning rate {jump.after:.3g} -> {jump.before:.3g} until the loss is flat"
                return (cause,), (fix,)
        found = hindrance(context)
        return ((found.cause,), (found.fix,)) if found else ((), ())
