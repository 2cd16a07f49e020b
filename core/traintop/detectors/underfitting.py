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
    """Thresholds of `underfitting`.

    A task has a floor of its own, the noise of its labels, that no log tells. A warning therefore
    takes a loss near that of guessing, or a model that is too small to be anything but the limit.
    """

    most_accuracy: float = 0.8
    """Share of the way from guessing to all correct that the accuracy must not have come: what is
    well above it has a high loss for other reasons (smoothed labels, a wrong loss)."""
    tiny: float = 1000
    """Parameters below which a model is tiny, with ..."""
    samples_per_parameter: float = 20
    """... so many samples an epoch for each of them; a sample of a language model is many tokens,
    so its own count is not asked for."""
    gap: float = 0.25
    """Share by which the validation loss may stand above the training loss: a wider gap is a model
    that fits what it has seen."""


class Underfitting(StallDetector[UnderfittingThresholds]):
    """A plateau after something was learnt, at a learning rate that was not lowered."""

    id = "underfitting"
    title = "The model underfits: it has stopped learning far above the loss of a good fit"
    needs = "training and validation loss or accuracy, and the number of classes or a tiny model"
    record = (
        "num_classes=, batch_size=, steps_per_epoch=, planned_steps=;"
        " recorder.evaluate(loss=..., accuracy=...)"
    )
    thresholds_type: ClassVar[type[Thresholds]] = UnderfittingThresholds

    def judge(self, stretch: Stretch, step: int) -> Findings:
        """Say that a flat loss is the best that this model can do."""
        context = self.context
        thresholds = self.thresholds
        guessing = guessing_loss(context.info)
        classes = context.info.num_classes or 0
        level = stretch.after
        tiny = self._is_tiny()
        if guessing > 0 and level > thresholds.learnt * guessing:
            return ()
        if not tiny and (not guessing > 0 or is_language(context.info)):
            return ()
        learnt = accuracy(context)
        last = context.evaluations.last
        if last is None or (math.isnan(last.loss) and math.isnan(learnt)):
            return ()
        chance = 1.0 / classes if classes > 1 else 0.0
        most = chance + thresholds.most_accuracy * (1.0 - chance)
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
            "warning" if tiny or self.near_guessing(level) else "info",
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

    def _is_tiny(self) -> bool:
        info = self.context.info
        parameters = info.parameters or 0
        samples = (info.steps_per_epoch or 0) * (info.batch_size or 0)
        enough = samples > self.thresholds.samples_per_parameter * parameters
        return 0 < parameters < self.thresholds.tiny and (enough or is_language(info))

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
