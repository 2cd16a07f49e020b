"""A training loss that is N times too large or too small, N being the accumulated batches."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import window_size
from traintop.records import Cause, Evidence, NotJudged, Row


class LossScaledThresholds(Thresholds, frozen=True):
    """Thresholds of `loss_scaled_by_accumulation`.

    The signs are those of known bugs (transformers issue 35438, Lightning issue 2569): a training
    loss that is N or 1/N times the validation loss from the start on, constantly.
    """

    tolerance: float = 0.15
    """Relative distance of the ratio from N, or 1/N: dropout and running means make a few percent,
    and 2 and 3 stay apart."""
    evaluations: float = 3
    """Evaluations in a row, from the first on, that must agree."""
    first_loss: float = 0.25
    """Relative distance of the first loss over guessing from N, or 1/N, where guessing is known."""


class LossScaledByAccumulation(Detector[LossScaledThresholds]):
    """Training over validation loss equals the number of accumulated batches, or one over it."""

    id = "loss_scaled_by_accumulation"
    title = "Training loss is scaled by the gradient accumulation"
    needs = "training and validation loss, and how many batches are accumulated"
    record = "Recorder(model, optimizer, grad_accumulation=N), and recorder.evaluate(loss=...)"
    thresholds_type: ClassVar[type[Thresholds]] = LossScaledThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LossScaledThresholds) -> None:
        super().__init__(context, thresholds)
        self._ratios: deque[float] = deque(maxlen=window_size(thresholds.evaluations))
        self._first_step = 0
        self._apart = False

    def on_eval(self, row: Row) -> Findings:
        """Hold the training loss against the validation loss."""
        count = self.context.info.grad_accumulation or 1
        value, level = row.values.get("loss/val", math.nan), self.context.loss.level
        if count < 2 or not (0.0 < value < math.inf and level > 0.0):
            return ()
        if not self._ratios:
            self._first_step = row.step
        self._ratios.append(level / value)
        factor = float(count) if level > value else 1.0 / count
        agrees = all(self._near(ratio, factor) for ratio in self._ratios)
        if self.current is not None:
            return () if agrees else self.resolve(row.step)
        # A gap that opens later is overfitting, and one that closes is a running mean.
        self._apart = self._apart or not agrees
        if self._apart or len(self._ratios) < self.thresholds.evaluations:
            return ()
        loss = self.context.loss
        of_chance = loss.first / loss.chance
        if of_chance == of_chance and not self._near(of_chance, factor, self.thresholds.first_loss):
            return ()
        return self._open(row.step, count, factor)

    def not_judged(self) -> NotJudged | None:
        """A run that does not say how much it accumulates, or has no validation loss."""
        count = self.context.info.grad_accumulation
        return None if count == 1 or (count and self._ratios) else self.missing()

    def _near(self, ratio: float, factor: float, tolerance: float = 0.0) -> bool:
        return abs(ratio / factor - 1.0) < (tolerance or self.thresholds.tolerance)

    def _open(self, step: int, count: int, factor: float) -> Findings:
        loss = self.context.loss
        ratio = self._ratios[-1]
        found = [
            Evidence(
                what="training over validation loss", value=ratio, threshold=factor, step=step
            ),
            Evidence(what="accumulated batches", value=float(count)),
        ]
        if loss.chance > 0.0:
            what = "first loss over that of guessing"
            found.append(Evidence(what=what, value=loss.first / loss.chance, threshold=factor))
        because = f"training over validation loss was {ratio:.3g} in each of the first "
        because += f"{len(self._ratios)} evaluations, and {count} batches are accumulated"
        large = factor > 1.0
        lr = self.context.lr
        fixes = [
            f"divide the loss of each batch by {count} before backward(), and log the mean of all"
            if large
            else f"log {count} times the loss that backward() is called on"
        ]
        if large and lr > 0.0:
            fixes.append(
                f"check the gradients: if they are summed too, the present lr {lr:.3g} works like "
                f"{lr * count:.2g} with SGD"
            )
        return self.open(
            "warning",
            self._first_step,
            found,
            series=("loss/train", "loss/val"),
            causes=(
                Cause(
                    cause="the loss is summed over the accumulated batches"
                    if large
                    else "the loss is divided by the accumulated batches twice",
                    because=because,
                ),
            ),
            next=(self.next_test("Check the loss function on one batch", "loss_function", step),),
            fixes=tuple(fixes),
        )
