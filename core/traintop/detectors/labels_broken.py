"""Labels broken: the training data can only be learnt by heart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.evaluations import Evaluation
from traintop.detectors.guessing import guessing_loss, is_language
from traintop.detectors.hindrances import CONSTANT, hindrance
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row


class LabelsBrokenThresholds(Thresholds, frozen=True):
    """Thresholds of `labels_broken`."""

    level: float = 0.965
    """Share of the loss of guessing below which no evaluation has come (a prototype's value)."""
    level_regression: float = 0.8
    """The same of the first evaluation of a regression, which is near the variance of its targets
    unless it has learnt something by then; some of it is that of untrained outputs ..."""
    first_regression: float = 0.7
    """... which is told by its share of the first training losses."""
    better: float = 0.01
    """Share by which the validation loss may fall from its first to its latest: more is learning,
    only slow."""
    accuracy: float = 0.08
    """Accuracy on validation above that of guessing, at most, as a mean of the last three."""
    patience: float = 0.12
    """Share of the planned steps to wait where the model learns by heart ..."""
    patience_without_fit: float = 0.2
    """... and where it does not learn at all, though its updates are as they should be."""
    records_without_plan: float = 300
    """Records to wait where no plan is known."""
    fit: float = 0.015
    """Share of the loss of guessing that the training loss must have come below it, and below the
    validation loss, to be learning by heart; and 4 standard errors."""
    fit_regression: float = 0.15
    """The same for a regression, of its first losses; half of it where they are means over many
    steps already."""
    first_fit: float = 0.8
    """Share of the first validation loss that the training loss must not have come below by then:
    what is fitted within the first epoch is not learnt by heart, it is data in an order."""
    fit_accuracy: float = 0.25
    """The same by accuracies: share of the training accuracy that validation lacks ..."""
    fit_accuracy_points: float = 0.03
    """... and in points, at the least."""
    healthy_update: float = 3e-4
    """Median update over weights from which on the weights do move (a third of the rule of thumb,
    Karpathy's 1e-3)."""
    evaluations: float = 3
    """Evaluations at least."""


class LabelsBroken(Detector[LabelsBrokenThresholds]):
    """No evaluation ever gets better than guessing, while nothing keeps the weights from learning.

    Either the training loss falls and takes nothing along, or it does not fall although updates are
    of a healthy size, gradients reach the first layer and predictions differ from input to input.
    """

    id = "labels_broken"
    title = "Labels and inputs do not belong together"
    needs = "validation loss, and the number of classes (or the task: regression)"
    record = "recorder.evaluate(loss=..., accuracy=...), num_classes= or task="
    thresholds_type: ClassVar[type[Thresholds]] = LabelsBrokenThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LabelsBrokenThresholds) -> None:
        super().__init__(context, thresholds)
        self._judged = False

    def on_eval(self, row: Row) -> Findings:
        """Compare what was learnt on the training and on the validation set."""
        context = self.context
        evaluations = context.evaluations
        yardstick = self._yardstick
        if not yardstick > 0 or evaluations.count < self.thresholds.evaluations:
            return ()
        self._judged = True
        learnt = evaluations.best < self._level * yardstick
        if self.current is not None:
            return self.resolve(row.step) if learnt else ()
        if learnt or context.warming_up:
            return ()
        if not self._patient(row.step, self.thresholds.patience) or context.lr_was_lowered:
            return ()
        return self._judge(row.step, yardstick)

    def not_judged(self) -> NotJudged | None:
        """A run without a number of classes or a validation loss."""
        return None if self._judged else self.missing()

    @property
    def _regression(self) -> bool:
        return self.context.info.task == "regression"

    @property
    def _yardstick(self) -> float:
        """The loss of guessing, or what comes nearest to it; NaN where nothing does."""
        context = self.context
        if not self._regression or not context.evaluations.past:
            return guessing_loss(context.info)
        first = context.evaluations.past[0].loss
        return first if first > self.thresholds.first_regression * self._start else math.nan

    @property
    def _start(self) -> float:
        context = self.context
        return context.loss.first if context.averaged else context.trend.start

    @property
    def _level(self) -> float:
        thresholds = self.thresholds
        return thresholds.level_regression if self._regression else thresholds.level

    def _patient(self, step: int, share: float) -> bool:
        planned = self.context.info.planned_steps
        if planned:
            return step - self.context.trend.first_step >= share * planned
        return self.context.averaged or (
            self.context.records >= self.thresholds.records_without_plan
        )

    def _judge(self, step: int, guessing: float) -> Findings:
        context = self.context
        thresholds = self.thresholds
        past = [each for each in context.evaluations.past if each.loss - each.loss == 0.0]
        if len(past) < max(1.0, thresholds.evaluations):
            return ()
        latest = past[-3:]
        level = sum(each.loss for each in latest) / len(latest)
        accuracy = sum(each.accuracy for each in latest) / len(latest)
        chance = 1.0 / (context.info.num_classes or 2)
        ordered = past[0].train_level < thresholds.first_fit * past[0].loss
        if accuracy > chance + thresholds.accuracy or ordered:
            return ()
        if self._regression:
            share = thresholds.fit_regression * (0.5 if context.averaged else 1.0)
            by_heart = self._fits(step, min(guessing, self._start), level, share)
            return self._raise(step, guessing, level, accuracy, by_heart) if by_heart else ()
        by_heart = self._learns_by_heart(step, guessing, level, accuracy)
        # Falling from far above guessing down to it says nothing; below it, it is learning.
        improving = level < (1.0 - thresholds.better) * min(past[0].loss, guessing)
        if by_heart is None and (improving or not self._unexplained(step, guessing, latest)):
            return ()
        return self._raise(step, guessing, level, accuracy, by_heart)

    def _learns_by_heart(
        self, step: int, guessing: float, level: float, accuracy: float
    ) -> Evidence | None:
        """What shows that the training data is fitted and nothing but that."""
        context = self.context
        thresholds = self.thresholds
        found = self._fits(step, guessing, level, thresholds.fit)
        if found is not None:
            return found
        fitted, chance = context.accuracy, 1.0 / (context.info.num_classes or 2)
        points = max(thresholds.fit_accuracy_points, thresholds.fit_accuracy * fitted)
        if fitted > chance + points and fitted - accuracy > points:
            what = "training accuracy above validation accuracy"
            return Evidence(what=what, value=fitted - accuracy, threshold=points, step=step)
        return None

    def _fits(self, step: int, reference: float, level: float, share: float) -> Evidence | None:
        """Whether the training loss has come below the reference and left validation behind."""
        context = self.context
        recent = step - 0.3 * (step - context.trend.first_step)
        stretch = context.trend.since(recent, context.loss.noise)
        if stretch is None:
            train, error = context.loss.level, context.loss.standard_error
        else:
            train, error = stretch.after, stretch.error
        least = max(share * reference, 4.0 * error)
        if not (train < reference - least and level - train > least):
            return None
        what = "validation loss above training loss"
        return Evidence(what=what, value=level - train, threshold=least, step=step)

    def _unexplained(self, step: int, guessing: float, latest: Sequence[Evaluation]) -> bool:
        """Whether nothing is learnt although the weights move and the outputs differ."""
        context = self.context
        thresholds = self.thresholds
        updates, layers = context.updates, context.layers
        majority = max(each.majority for each in latest)
        # A language model with one answer for everything is at the entropy of its tokens, not here.
        differ = majority < CONSTANT or (math.isnan(majority) and is_language(context.info))
        return (
            self._patient(step, thresholds.patience_without_fit)
            and context.loss.level > 0.9 * guessing
            and (updates.full or context.averaged)
            and updates.median > thresholds.healthy_update
            and layers.records > 1
            and differ
            and hindrance(context) is None
        )

    def _raise(
        self, step: int, guessing: float, level: float, accuracy: float, by_heart: Evidence | None
    ) -> Findings:
        context = self.context
        thresholds = self.thresholds
        over = "the first" if self._regression else "guessing"
        evidence = [
            Evidence(
                what=f"validation loss over {over} ({guessing:.4g}), mean of the last 3",
                value=level / guessing,
                threshold=self._level,
                step=step,
            )
        ]
        if accuracy == accuracy:
            chance = 1.0 / (context.info.num_classes or 2)
            limit = chance + thresholds.accuracy
            evidence.append(
                Evidence(what="validation accuracy, mean", value=accuracy, threshold=limit)
            )
        if by_heart is not None:
            evidence.append(by_heart)
            because = (
                f"{by_heart.what} by {by_heart.value:.3g}: what is fitted holds for nothing else"
            )
        else:
            update = context.updates.median
            because = (
                f"the weights move by {update:.2g} a step, gradients arrive, outputs differ, and "
                "nothing is learnt"
            )
        other = "the same picture as with labels that are right for training only"
        return self.open(
            "warning",
            max(0, context.trend.first_step),
            evidence,
            series=("loss/train", "loss/val"),
            causes=(
                Cause(cause="labels shuffled against their inputs", because=because),
                Cause(cause="validation data prepared in another way", because=other),
            ),
            next=(
                NextTest(
                    do="Look at inputs with their labels, of training and validation",
                    analysis="data",
                ),
                self.next_test(
                    "Predictions of the training and validation set", "predictions", step
                ),
            ),
            fixes=(
                "sort, filter and shuffle inputs and labels together, with one permutation",
                "one list of classes for training and validation, in one order",
            ),
        )
