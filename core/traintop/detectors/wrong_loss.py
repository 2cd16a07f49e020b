"""Wrong loss: an accuracy and a loss that no cross-entropy of logits has at the same time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.records import Cause, Evidence, NotJudged, Row

MOST_DISTANCES = 64
"""Distances that are kept."""

BLOCKS = 3
"""Distances that are the least to judge by."""


class WrongLossThresholds(Thresholds, frozen=True):
    """Thresholds of `wrong_loss`.

    Cross-entropy of what has gone through a softmax already cannot fall below
    f = ln(1 + (C - 1) / e), where all probabilities are 0 or 1 and right; where they are wrong it
    is f + 1, so that it lies on the line f + 1 - accuracy. That of logits crosses the line once.
    """

    off: float = 0.06
    """Distance from the line, in nats: predictions that are not sure yet lie above it, labelled
    runs by 0.01 to 0.05 from an accuracy of 0.7 on."""
    drift: float = 0.012
    """How much the distance may move from half to half of the window: a model of logits that is not
    sure yet, at a low learning rate, goes through the line slowly."""
    below: float = 0.015
    """Share of f by which the loss may fall below f for the noise."""
    accuracy: float = 0.7
    """Accuracy from which on the distance is judged ..."""
    accuracy_sure: float = 0.85
    """... and from which on a window of the given size is enough ..."""
    longer: float = 2.5
    """... below which it must be this many times as long."""
    above_guessing: float = 0.5
    """Share of the loss of guessing that f must reach: of two classes it is as low as the loss of
    many a good model (the prototype's limit on the loss)."""
    window: float = 48
    """Steps on the line."""
    window_share: float = 0.06
    """The same as a share of the planned steps, if that is more ..."""
    window_most: float = 1000
    """... but never more steps than these."""
    evaluations: float = 3
    """Evaluations on the line, where the training accuracy is not logged."""
    negative: float = 3
    """Blocks of a negative loss that are enough: no cross-entropy is negative."""


class Distances:
    """How far from the line the run has been, for as long as it stays near it and does not drift.

    Attributes:
        past: Step, distance in nats and accuracy, oldest first.
    """

    def __init__(self, thresholds: WrongLossThresholds) -> None:
        self.past: list[tuple[int, float, float]] = []
        self._thresholds = thresholds

    def add(self, step: int, distance: float, accuracy: float) -> bool:
        """Take a distance; return whether the run has stayed near the line."""
        thresholds = self._thresholds
        past = self.past
        if not abs(distance) < 2.0 * thresholds.off or accuracy < thresholds.accuracy:
            past.clear()
            return False
        past.append((step, distance, accuracy))
        if len(past) > MOST_DISTANCES:
            # Never the first, which tells how long it has been.
            del past[1::2]
        half = len(past) // 2
        if not half:
            return True
        before = sum(each for _, each, _ in past[:half]) / half
        after = sum(each for _, each, _ in past[half:]) / (len(past) - half)
        if abs(after) <= thresholds.off and abs(after - before) <= thresholds.drift:
            return True
        # Still on its way to the line, or through it: begin with the newer half.
        del past[:half]
        return False

    def lasts(self, step: int, steps: float, count: float) -> bool:
        """Whether it has been there for so many steps and distances, or longer if less accurate."""
        thresholds = self._thresholds
        past = self.past
        low = [index for index, each in enumerate(past) if each[2] < thresholds.accuracy_sure]
        sure = past[low[-1] + 1 :] if low else past
        return any(
            len(found) >= factor * count and step - found[0][0] + 1 >= factor * steps
            for found, factor in ((sure, 1.0), (past, thresholds.longer))
            if found
        )

    @property
    def mean(self) -> float:
        """The mean distance."""
        return sum(distance for _, distance, _ in self.past) / len(self.past)


class WrongLoss(Detector[WrongLossThresholds]):
    """Cross-entropy of probabilities, by its line; and a cross-entropy that is negative."""

    id = "wrong_loss"
    title = "The loss and the accuracy do not belong together: is softmax applied twice?"
    needs = "loss, accuracy and the number of classes, of 3 or more"
    record = "recorder.step(loss=..., accuracy=...) or recorder.evaluate(...), num_classes="
    thresholds_type: ClassVar[type[Thresholds]] = WrongLossThresholds

    def __init__(self, context: Context, thresholds: WrongLossThresholds) -> None:
        super().__init__(context, thresholds)
        self._train = Distances(thresholds)
        self._evaluations = Distances(thresholds)
        self._negative = 0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Compare the means of loss and accuracy over the block."""
        if not guessing_loss(self.context.info) > 0:
            return ()
        step = rows[-1].step
        level = self.context.loss.level
        if self.current is not None:
            return () if self._above(level) or level < 0 else self.resolve(step)
        if level < 0 and self.context.info.task == "classification":
            self._negative += 1
            return self._raise_negative(step) if self._negative >= self.thresholds.negative else ()
        self._negative = 0
        self._judged = self._judged or "accuracy/train" in rows[-1].values
        # Nearly every run is soon below what a doubled softmax can reach.
        if not self._above(level):
            return ()
        losses = [row.values.get("loss/train", math.nan) for row in rows]
        accuracies = [row.values.get("accuracy/train", math.nan) for row in rows]
        loss, accuracy = sum(losses) / len(losses), sum(accuracies) / len(accuracies)
        if not self._add(self._train, rows[0].step, loss, accuracy):
            return ()
        thresholds = self.thresholds
        planned = self.context.info.planned_steps or 0
        steps = max(thresholds.window, thresholds.window_share * planned)
        steps = min(steps, thresholds.window_most)
        return self._raise(self._train, step) if self._train.lasts(step, steps, BLOCKS) else ()

    def on_eval(self, row: Row) -> Findings:
        """The same of an evaluation, whose loss is computed in the same way."""
        last = self.context.evaluations.last
        if last is None or self.current is not None or not guessing_loss(self.context.info) > 0:
            return ()
        self._judged = self._judged or last.accuracy == last.accuracy
        if not self._add(self._evaluations, row.step, last.loss, last.accuracy):
            return ()
        enough = self._evaluations.lasts(row.step, 0.0, self.thresholds.evaluations)
        return self._raise(self._evaluations, row.step) if enough else ()

    def not_judged(self) -> NotJudged | None:
        """A run without accuracies, or without a number of classes."""
        return None if self._judged else self.missing()

    @property
    def _floor(self) -> float:
        """The least cross-entropy of probabilities: ln(1 + (C - 1) / e)."""
        return math.log1p(((self.context.info.num_classes or 2) - 1) / math.e)

    def _add(self, distances: Distances, step: int, loss: float, accuracy: float) -> bool:
        floor = self._floor
        few = floor < self.thresholds.above_guessing * guessing_loss(self.context.info)
        if few or not self._above(loss) or not 0.0 <= accuracy <= 1.0:
            distances.past.clear()
            return False
        return distances.add(step, loss - (floor + 1.0 - accuracy), accuracy)

    def _above(self, loss: float) -> bool:
        """Whether this loss, and the best ones, are none below the floor."""
        lowest = (1.0 - self.thresholds.below) * self._floor
        best = self.context.evaluations.best
        return loss > lowest and self.context.loss.best > lowest and best > lowest

    def _raise(self, distances: Distances, step: int) -> Findings:
        thresholds = self.thresholds
        floor = self._floor
        mean = distances.mean
        lowest = min(self.context.loss.best, self.context.evaluations.best)
        because = (
            f"the loss lies {mean:+.3f} from {floor:.4g} + 1 - accuracy, and never fell below "
            f"{floor:.4g}"
        )
        return self.open(
            "warning",
            distances.past[0][0],
            (
                Evidence(
                    what=f"mean distance from the line {floor:.4g} + 1 - accuracy",
                    value=mean,
                    threshold=thresholds.off,
                    step=step,
                ),
                Evidence(
                    what="lowest loss", value=lowest, threshold=(1.0 - thresholds.below) * floor
                ),
            ),
            series=("loss/train", "accuracy/train"),
            causes=(
                Cause(cause="cross-entropy of probabilities instead of logits", because=because),
            ),
            next=(self.next_test("Check of the loss function", "loss_function", step),),
            fixes=(
                "take the softmax (or sigmoid) out of the model: cross_entropy applies it itself",
            ),
        )

    def _raise_negative(self, step: int) -> Findings:
        self._judged = True
        loss = self.context.loss
        because = f"the loss of a classifier is {loss.level:.4g}; no cross-entropy is below 0"
        return self.open(
            "warning",
            loss.best_step if loss.best < 0 else step,
            (Evidence(what="smoothed loss", value=loss.level, threshold=0.0, step=step),),
            title="The loss of a classifier is negative",
            series=("loss/train",),
            causes=(
                Cause(
                    cause="nll_loss of something that is no logarithm of a probability",
                    because=because,
                ),
            ),
            next=(self.next_test("Check of the loss function", "loss_function", step),),
            fixes=("cross_entropy of the logits, or nll_loss of their log_softmax",),
        )
