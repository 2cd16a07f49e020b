"""The course of the training loss over a long stretch, as several detectors judge by."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

from traintop.detectors.loss_level import ABSURD
from traintop.detectors.windows import Ladder, mann_kendall, theil_sen

BLOCKS = 96
"""Blocks that the whole run is described by."""

LR_SPREAD = 0.01
"""A learning rate within 1 % is constant (runmedic)."""

FIRST = 8
"""Records whose mean is the loss that a run starts with: one batch says little."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of the run: block means of the loss, oldest first, at least 6 of them.

    Attributes:
        steps: The mean step of each block.
        means: The mean loss of each block.
        length: Records in a block.
        noise: Standard deviation of one record around the level.
    """

    steps: list[float]
    means: list[float]
    length: int
    noise: float

    @property
    def records(self) -> int:
        """Records in the stretch."""
        return len(self.means) * self.length

    @property
    def before(self) -> float:
        """Mean of the first half."""
        half = len(self.means) // 2
        return sum(self.means[:half]) / half

    @property
    def after(self) -> float:
        """Mean of the second half."""
        half = len(self.means) // 2
        return sum(self.means[half:]) / (len(self.means) - half)

    @property
    def error(self) -> float:
        """Standard error of the difference of the halves.

        From the noise of a record, or from the scatter of the blocks around their line where that
        says more: successive differences do not see noise that is correlated in time.
        """
        half = len(self.means) // 2
        block = max(self.noise / math.sqrt(self.length), self._scatter)
        return block * math.sqrt(2.0 / half)

    @property
    def slope(self) -> float:
        """Slope of the line of least squares, per step."""
        return self._line[0]

    @property
    def slope_error(self) -> float:
        """Standard error of `slope`, per step."""
        block = max(self.noise / math.sqrt(self.length), self._scatter)
        return block / math.sqrt(self._line[1]) if self._line[1] else math.inf

    @property
    def trend(self) -> float:
        """The Mann-Kendall z-score, below 0 where the loss falls."""
        return mann_kendall(self.means)

    @property
    def gain(self) -> float:
        """Share of the loss that it falls by over the stretch, by the Theil-Sen slope."""
        before = abs(self.before)
        return -theil_sen(self.means) * len(self.means) / before if before else 0.0

    @cached_property
    def _line(self) -> tuple[float, float]:
        """Slope, and sum of the squared distances of the steps from their mean."""
        count = len(self.means)
        middle, mean = sum(self.steps) / count, sum(self.means) / count
        squares = sum((step - middle) ** 2 for step in self.steps)
        products = sum(
            (step - middle) * (value - mean)
            for step, value in zip(self.steps, self.means, strict=True)
        )
        return (products / squares if squares else 0.0, squares)

    @cached_property
    def _scatter(self) -> float:
        """Standard deviation of the blocks around the line."""
        slope, _ = self._line
        count = len(self.means)
        middle, mean = sum(self.steps) / count, sum(self.means) / count
        rest = sum(
            (value - mean - slope * (step - middle)) ** 2
            for step, value in zip(self.steps, self.means, strict=True)
        )
        return math.sqrt(rest / (count - 2))


class LossTrend:
    """The training loss since its scale last changed (resume, batch size); finite values only.

    Attributes:
        blocks: Blocks filled so far: it changes when there is something new to judge.
        first_step: The first step, -1 before it.
        start: The mean of the first losses, NaN before the first.
        lr_since: The step since which the learning rate has stayed within 1 %.
    """

    def __init__(self) -> None:
        self.lr_since = 0
        self._lr: float = math.nan
        self.restart()

    def restart(self) -> None:
        """Forget the past: what comes next has another scale."""
        self.blocks = 0
        self.first_step = -1
        self.start = math.nan
        self._ladder = Ladder(BLOCKS)
        self._count = 0

    def add(self, step: int, loss: float, lr: float) -> None:
        """Take a loss and the learning rate of its record, NaN where it is not logged."""
        if lr != self._lr and lr == lr and not abs(lr - self._lr) <= LR_SPREAD * self._lr:
            self._lr = lr
            self.lr_since = step
        if not -ABSURD < loss < ABSURD:
            return
        count = self._count = self._count + 1
        if count <= FIRST:
            self.start = loss if count == 1 else self.start + (loss - self.start) / count
            if count == 1:
                self.first_step = step
        if self._ladder.add(step, loss):
            self.blocks += 1

    def since(self, step: float, noise: float) -> Stretch | None:
        """The stretch from `step` on; None where it has less than 6 blocks."""
        ladder = self._ladder
        start = bisect_left(ladder.steps, step)
        if len(ladder.steps) - start < 6:
            return None
        return Stretch(ladder.steps[start:], ladder.means[start:], ladder.length, noise)
