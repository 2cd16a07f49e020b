"""Where the training loss stands: the smoothed level that several detectors judge by."""

from __future__ import annotations

import math

from traintop.detectors.windows import DIFFERENCE_TO_SIGMA, RunningMedian

ABSURD = 1e15
"""No loss or gradient norm of a run that works reaches this; it is treated as non-finite."""

SMOOTHING = 15
"""Records in the median that stands for the level: a spike of up to 7 records does not move it."""

SMOOTHING_AVERAGED = 3
"""The same where each record is itself a mean over many steps."""

LOG_RECORDS = math.log(1000)
"""Of the records that standard errors are meant for: about as many as the labelled runs have."""

HARM_OF_BEST = 0.25
HARM_OF_PROGRESS = 0.22
HARM_ERRORS = 7.0
"""See `divergence`, whose thresholds start at the same values."""


class LossLevel:
    """The training loss, scaled by the run itself; only finite values enter.

    Attributes:
        count: Accepted losses.
        first: The first loss.
        last: The latest loss.
        level: The median of the last losses.
        best: The lowest level so far in this regime, and `best_step` where it stood.
        noise: Robust standard deviation of one record around the level, from successive
            differences (von Neumann 1941), which a trend does not inflate.
        chance: The loss of guessing, ln(classes), where the task says it, else NaN.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = math.nan
        self.last = math.nan
        self.level = math.nan
        self.best = math.inf
        self.best_step = 0
        self.noise = 0.0
        self.chance = math.nan
        self._difference = 0.0
        self._window = RunningMedian(SMOOTHING)
        self._full = 8

    def set_scale(self, chance: float, averaged: bool) -> None:
        """Take what `run.json` says; a change of cadence restarts the window."""
        self.chance = chance
        size = SMOOTHING_AVERAGED if averaged else SMOOTHING
        if size != self._window.size:
            past = self._window.values()
            self._window = RunningMedian(size)
            self._full = size // 2 + 1
            for value in past:
                self._window.add(value)

    def add(self, step: int, loss: float) -> None:
        """Take a loss; one that is not finite, or absurd, is left out."""
        if not -ABSURD < loss < ABSURD:
            return
        count = self.count
        self.count = count + 1
        if count:
            difference = abs(loss - self.last)
            usual = self._difference
            if count > 10:
                # Clipped, so that a spike or a jump does not pass for noise; the second term lets a
                # noise of 0 grow again.
                limit = 4.0 * usual + 1e-3 * abs(self.level)
                if difference > limit:
                    difference = limit
                self._difference = usual + 0.02 * (difference - usual)
            else:
                self._difference = usual + (difference - usual) / count
            self.noise = DIFFERENCE_TO_SIGMA * self._difference
        else:
            self.first = loss
        self.last = loss
        self.level = level = self._window.add(loss)
        if level < self.best and len(self._window) >= self._full:
            self.best = level
            self.best_step = step

    def restart(self) -> None:
        """Forget the level and the best: older values are no yardstick any more."""
        self._window.clear()
        self.best = math.inf

    @property
    def start(self) -> float:
        """The loss to measure progress from: the first, or that of guessing where it is nearer.

        A resumed run starts low, so guessing is above it; a run with a bad initialisation starts
        far above guessing, which it passes within a few steps and which says nothing later.
        A loss that is summed over the batch never comes near guessing and keeps its own start.
        """
        if self.first < self.chance or self.best < self.chance:
            return self.chance
        return self.first

    @property
    def progress(self) -> float:
        """How far the level has fallen from the start to its best; 0 where it has not."""
        return max(0.0, self.start - self.best) if self.best < math.inf else 0.0

    @property
    def rise(self) -> float:
        """How far the level stands above its best; NaN before there is one."""
        return self.level - self.best if self.best < math.inf else math.nan

    @property
    def mean(self) -> float:
        """The mean of the losses that the level is the median of; NaN of none."""
        values = self._window.values()
        return math.fsum(values) / len(values) if values else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the level: of a median of as many records as are smoothed over."""
        return 1.2533 * self.noise / math.sqrt(self._window.size)

    def limit(self, of_best: float, of_progress: float, errors: float) -> float:
        """The rise above the best that counts as harm: the largest of three yardsticks.

        Args:
            of_best: Share of the best level.
            of_progress: Share of the progress made.
            errors: Standard errors of the level in the first 1000 records. The best is the least
                and the level the largest of many medians, which lie ever further apart: by the
                root of the logarithm of how many there are (the extremes of normal noise).
        """
        growth = math.sqrt(max(1.0, math.log(max(1, self.count)) / LOG_RECORDS))
        return max(
            of_best * abs(self.best),
            of_progress * self.progress,
            errors * growth * self.standard_error,
        )

    @property
    def harmed(self) -> bool:
        """Whether the loss has lost ground that matters: the consequence that gradients need."""
        return self.rise > self.limit(HARM_OF_BEST, HARM_OF_PROGRESS, HARM_ERRORS)
