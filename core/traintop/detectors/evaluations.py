"""The evaluations so far, as several detectors judge by."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from traintop.records import Row

REMEMBERED = 400
"""Evaluations that are kept."""


class Evaluation(NamedTuple):
    """One evaluation; NaN where a value was not logged."""

    step: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    majority: float
    """Share of predictions that are the commonest one (`majority_pred_fraction`)."""
    train_level: float
    """The smoothed training loss at its time."""


class Evaluations:
    """What was logged of a validation set, oldest first; only finite losses make a best.

    Attributes:
        past: The latest evaluations.
        count: How many there were in all.
        best: The lowest loss so far, and `best_step` where it stood.
        best_accuracy: The best balanced accuracy, or the best accuracy where only that is logged;
            NaN where neither is.
    """

    def __init__(self) -> None:
        self.past: deque[Evaluation] = deque(maxlen=REMEMBERED)
        self.count = 0
        self.best = math.inf
        self.best_step = 0
        self.best_accuracy = math.nan

    def add(self, row: Row, train_level: float) -> None:
        """Take an evaluation."""
        values = row.values
        found = Evaluation(
            row.step,
            values.get("loss/val", math.nan),
            values.get("accuracy/val", math.nan),
            values.get("balanced_accuracy", math.nan),
            values.get("majority_pred_fraction", math.nan),
            train_level,
        )
        self.past.append(found)
        self.count += 1
        if -math.inf < found.loss < self.best:
            self.best = found.loss
            self.best_step = row.step
        balanced = found.balanced_accuracy
        accuracy = balanced if balanced == balanced else found.accuracy
        if accuracy - accuracy == 0.0 and not accuracy <= self.best_accuracy:
            self.best_accuracy = accuracy

    @property
    def last(self) -> Evaluation | None:
        """The latest one."""
        return self.past[-1] if self.past else None

    def since(self, step: float) -> list[Evaluation]:
        """Those at or after `step`, oldest first."""
        return [each for each in self.past if each.step >= step]
