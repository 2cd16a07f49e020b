"""Oscillation: the loss swings to and fro, far beyond the noise of batches, and gets nowhere."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.step_size import usual_lr
from traintop.detectors.windows import median
from traintop.records import Cause, Evidence, NotJudged, Row

BLOCK = 8
"""Losses in a point of the training loss."""

POINTS = 24
"""Points, or evaluations, in a window."""


class OscillationThresholds(Thresholds, frozen=True):
    """Thresholds of `oscillation`.

    AutoTrainer counts swings of the accuracy by 0.03, which small evaluation sets make by chance;
    here a swing is measured by the loss that there was at the start and by the noise.
    """

    swing: float = 0.35
    """Share of its median that the loss must swing between two turns (a prototype's value) ..."""
    of_start: float = 0.2
    """... and share of the starting loss: a loss that is nearly 0 has large relative noise."""
    errors: float = 6
    """... and standard errors of a point of the training loss: what batches do by chance."""
    turns: float = 6
    """Turns of the training loss in a window of 24 points of 8 losses (a prototype's value)."""
    turns_evaluation: float = 4
    """Turns of the validation loss among the last 24 evaluations: each is of the whole set, so
    that there is no noise of batches in it."""
    progress: float = 0.95
    """The second half of the window is not below this share of the first."""
    lr_spread: float = 1.5
    """A learning rate that moves by more in the window has the loss swing by design (cycles)."""
    calm: float = 12
    """Points or evaluations without a turn that end the episode."""


class Oscillation(Detector[OscillationThresholds]):
    """Turns with hysteresis in the validation loss, or in means of the training loss.

    The noise of batches makes no turns: it is known from successive losses and has no memory,
    while a model that is thrown across its valley comes back with the next steps.
    """

    id = "oscillation"
    title = "Loss oscillates"
    needs = "a training or validation loss"
    thresholds_type: ClassVar[type[Thresholds]] = OscillationThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: OscillationThresholds) -> None:
        super().__init__(context, thresholds)
        self._block: list[float] = []
        self._train: deque[tuple[int, float, float]] = deque(maxlen=POINTS)
        self._evals: deque[tuple[int, float, float]] = deque(maxlen=POINTS)
        self._rescaled = 0
        self._of_train = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Collect means of the training loss and count the turns among them."""
        context = self.context
        if context.rescaled != self._rescaled:
            self._rescaled = context.rescaled
            self._forget()
        block = self._block
        for row in rows:
            value = row.values.get("loss/train")
            if value is not None and -ABSURD < value < ABSURD:
                block.append(value)
        if len(block) < (1 if context.averaged else BLOCK):
            return ()
        # The median of a block: a spike is no swing.
        point = median(block)
        self._block = []
        self._train.append((rows[-1].step, point, context.lr))
        error = 1.2533 * context.loss.noise / math.sqrt(len(block))
        return self._judge(self._train, self.thresholds.turns, error, "training loss", True)

    def on_eval(self, row: Row) -> Findings:
        """Count the turns of the validation loss."""
        value = row.values.get("loss/val")
        if value is None or not -ABSURD < value < ABSURD:
            return ()
        self._evals.append((row.step, value, self.context.lr))
        turns = self.thresholds.turns_evaluation
        return self._judge(self._evals, turns, 0.0, "validation loss", False)

    def not_judged(self) -> NotJudged | None:
        """A run without a loss."""
        known = self.context.loss.count or self.context.evaluations.count
        return None if known else self.missing()

    def _judge(
        self,
        points: deque[tuple[int, float, float]],
        needed: float,
        error: float,
        what: str,
        of_train: bool,
    ) -> Findings:
        if len(points) < 2 * needed:
            return ()
        thresholds = self.thresholds
        values = [value for _, value, _ in points]
        lowest, highest = min(values), max(values)
        start = abs(self.context.loss.start)
        least = thresholds.of_start * start if start == start else 0.0
        # A loss that crosses 0 has no scale but its start: shares of its median are nothing.
        if lowest <= 0.0 and start != start:
            return ()
        # The cheapest test first: a run that is fine does not come further.
        if not highest - lowest > least:
            return self._calmed(points, [], of_train)
        swing = max(least, thresholds.swing * abs(median(values)), thresholds.errors * error)
        turns = turning_points(values, swing)
        if self.current is not None:
            return self._calmed(points, turns, of_train)
        if len(turns) < needed or len(points) - turns[-1] > thresholds.calm:
            return ()
        if self._gets_on(values) or self._follows_lr(points):
            return ()
        self._of_train = of_train
        context = self.context
        steps = [step for step, _, _ in points]
        onset = steps[max(0, turns[0] - 1)]
        fix = usual_lr(context, context.updates.median, lower=True)
        evidence = (
            Evidence(
                what=f"turns of the {what} since step {onset}",
                value=float(len(turns)),
                threshold=needed,
                step=context.last_step,
            ),
            Evidence(
                what=f"swing of the {what}", value=highest - lowest, threshold=swing, step=steps[-1]
            ),
        )
        return self.open(
            "warning",
            onset,
            evidence,
            title=f"{what.capitalize()} oscillates and gets nowhere",
            series=("loss/train" if of_train else "loss/val",),
            causes=(self._cause(),),
            next=(self.next_test("LR range test", "lr_find", onset),),
            fixes=() if fix is None else (fix,),
        )

    def _calmed(
        self, points: deque[tuple[int, float, float]], turns: list[int], of_train: bool
    ) -> Findings:
        """End the episode when the window's last points have no turn among them."""
        if self.current is None or of_train != self._of_train:
            return ()
        if turns and len(points) - turns[-1] <= self.thresholds.calm:
            return ()
        return self.resolve(self.context.last_step)

    def _gets_on(self, values: list[float]) -> bool:
        half = len(values) // 2
        first, second = median(values[:half]), median(values[half:])
        return second < self.thresholds.progress * first

    def _follows_lr(self, points: deque[tuple[int, float, float]]) -> bool:
        rates = [lr for _, _, lr in points if lr == lr]
        return bool(rates) and max(rates) > self.thresholds.lr_spread * min(rates)

    def _forget(self) -> None:
        self._block = []
        self._train.clear()
        self._evals.clear()

    def _cause(self) -> Cause:
        update = self.context.updates.median
        if update == update:
            because = f"a step moves the weights by {update:.2g} of their norm"
        else:
            because = "steps that overshoot the valley come back to and fro"
        return Cause(cause="learning rate too high", because=because)


def turning_points(values: Sequence[float], swing: float) -> list[int]:
    """Where a series has turned by at least `swing`: the indices at which each turn is certain."""
    turns: list[int] = []
    low = high = values[0]
    direction = 0
    for index, value in enumerate(values):
        low = min(low, value)
        high = max(high, value)
        if direction >= 0 and value <= high - swing:
            turned, direction, low = direction > 0, -1, value
        elif direction <= 0 and value >= low + swing:
            turned, direction, high = direction < 0, 1, value
        else:
            continue
        # The first way is none that is turned back from.
        if turned:
            turns.append(index)
    return turns
