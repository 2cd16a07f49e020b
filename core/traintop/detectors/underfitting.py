"""Underfitting: training and validation loss are both flat, both high, and close together."""

from __future__ import annotations

import math
from typing import ClassVar

from traintop.detectors.base import Findings, Thresholds
from traintop.detectors.guessing import guessing_loss, is_language
from traintop.detectors.hindrances import hindrance
from traintop.detectors.loss_trend import Stretch
from traintop.detectors.stall import StallDetector, StallThresholds, accuracy
from traintop.records import Cause, Evidence, NextTest


class UnderfittingThresholds(StallThresholds, frozen=True):
    """Thresholds of `underfitting`. No absolute level exists without a known number of classes."""

    most_accuracy: float = 0.8
    """Share of the way from guessing to all correct that the accuracy must not have come: what is
    well above it has a high loss for other reasons (smoothed labels, a wrong loss)."""
    gap: float = 0.25
    """Share by which the validation loss may stand above the training loss: a wider gap is a model
    that fits what it has seen."""


class Underfitting(StallDetector[UnderfittingThresholds]):
    """A plateau of a classifier that has learnt something, at an lr that was not lowered."""

    id = "underfitting"
    title = "The model underfits: it has stopped learning far above the loss of a good fit"
    needs = "training and validation loss or accuracy of a classifier, and the number of classes"
    record = "num_classes=, planned_steps=; recorder.evaluate(loss=..., accuracy=...)"
    thresholds_type: ClassVar[type[Thresholds]] = UnderfittingThresholds

    def judge(self, stretch: Stretch, step: int) -> Findings:
        """Say that a flat loss is the best that this model can do."""
        context = self.context
        thresholds = self.thresholds
        guessing = guessing_loss(context.info)
        classes = context.info.num_classes or 0
        level = stretch.after
        if not guessing > 0 or is_language(context.info) or level > thresholds.learnt * guessing:
            return ()
        learnt = accuracy(context)
        last = context.evaluations.last
        if last is None or (math.isnan(last.loss) and math.isnan(learnt)):
            return ()
        most = 1.0 / classes + thresholds.most_accuracy * (1.0 - 1.0 / classes)
        if learnt > most or last.loss > level * (1.0 + thresholds.gap):
            return ()
        # A rate that was lowered, or weights that something holds back, are not a small model.
        if context.lr_was_lowered or hindrance(context) is not None:
            return ()
        evidence = list(self.evidence(stretch, step))
        if last.loss == last.loss:
            limit = level * (1.0 + thresholds.gap)
            evidence.append(
                Evidence(what="validation loss", value=last.loss, threshold=limit, step=last.step)
            )
        if learnt == learnt:
            evidence.append(Evidence(what="best accuracy", value=learnt, threshold=most))
        return self.open(
            "warning",
            max(context.trend.first_step, round(stretch.steps[0])),
            evidence,
            series=("loss/train", "loss/val"),
            causes=self._causes(),
            next=(
                NextTest(
                    do="Overfit one batch: a model that cannot is too small, or its input says "
                    "too little",
                    analysis="overfit_one_batch",
                ),
                self.next_test("Predictions of the validation set", "predictions", step),
            ),
            fixes=self._fixes(),
        )

    def _causes(self) -> tuple[Cause, ...]:
        info = self.context.info
        size = f" of {info.parameters} parameters" if info.parameters else ""
        update = self.context.updates.median
        moves = (
            f", and a step moves the weights by {update:.2g} of their norm" if update > 0 else ""
        )
        because = f"training and validation loss are flat together{moves}"
        causes = [Cause(cause=f"the model{size} is too small for the task", because=because)]
        because = "noise in the labels has a floor of its own, which looks the same"
        causes.append(
            Cause(cause="the labels are noisy, or the inputs say little", because=because)
        )
        return tuple(causes)

    def _fixes(self) -> tuple[str, ...]:
        info = self.context.info
        if info.parameters:
            return (f"a model of {4 * info.parameters} parameters instead of {info.parameters}",)
        return ("a model with twice the width",)
