"""Overfitting: the validation loss rises while the training loss goes on falling."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, NamedTuple

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import mann_kendall, median
from traintop.records import Evidence, NextTest, NotJudged, Row, Severity

REMEMBERED = 400
"""Evaluations since the best that are kept."""

NOISE_OF = 30
"""Evaluations that the noise is measured on: the first ones fall too fast for it."""

DEVIATION_MEDIAN = 0.826
"""Median absolute deviation from the mean of both neighbours, in standard deviations of normal
noise: 0.6745 x sqrt(1.5)."""

TREND_OF = 60
"""Evaluations that the trend test looks at, evenly spread: it is quadratic in them."""


class OverfittingThresholds(Thresholds, frozen=True):
    """Thresholds of `overfitting`; all must be passed at once.

    Prechelt's GL and UP criteria made robust: on OverfitGuard's 40 real curves these reached a
    macro-F1 of 0.937 with no alarm before the minimum (GL5: 0.654 with 16, SageMaker's gap: 0.420).
    """

    evaluations: float = 3
    """Evaluations since the smoothed minimum."""
    of_best: float = 0.07
    """Share above the minimum, of the mean of the last three."""
    noise: float = 2.5
    """Standard deviations of an evaluation above the minimum, measured against the mean of its
    neighbours, which a steady fall or rise does not inflate."""
    of_start: float = 0.01
    """Share of the starting loss above the minimum: near 0, a few hard examples are 7 %."""
    above: float = 0.9
    """Share of the later evaluations that lie above the minimum."""
    train: float = 0.97
    """Level of the training loss over that at the minimum: it must have gone on falling. A gap of
    constant size (dropout, augmentation) and a divergence of both are no overfitting."""
    trend_z: float = 1.0
    """Mann-Kendall z-score of the rise ..."""
    obvious: float = 0.25
    """... or share above the minimum that needs none."""
    critical: float = 1.0
    """Share above the minimum that is critical: the validation loss has doubled."""
    recovered: float = 0.03
    """Share above the minimum below which the episode is over."""


class Evaluation(NamedTuple):
    """One evaluation, with the smoothed training loss at its time."""

    step: int
    loss: float
    train: float
    accuracy: float


class Overfitting(Detector[OverfittingThresholds]):
    """Judged from evaluations only; a gap between the curves proves nothing, its growth does."""

    id = "overfitting"
    title = "Overfitting: validation loss rises while training loss falls"
    needs = "training loss and at least 4 evaluations with a validation loss"
    record = "recorder.evaluate(loss=...) after each epoch, at least"
    thresholds_type: ClassVar[type[Thresholds]] = OverfittingThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: OverfittingThresholds) -> None:
        super().__init__(context, thresholds)
        self._rescaled = 0
        self._best = math.inf
        self._at_best: Evaluation | None = None
        self._latest: deque[Evaluation] = deque(maxlen=3)
        self._since: deque[Evaluation] = deque(maxlen=REMEMBERED)
        self._deviations: deque[float] = deque(maxlen=NOISE_OF)
        self._worst = 0.0
        self._judged = False

    def on_eval(self, row: Row) -> Findings:
        """Judge an evaluation by those since the minimum."""
        value = row.values.get("loss/val")
        if value is None or value - value != 0.0:
            return ()
        if self.context.rescaled != self._rescaled:
            self._rescaled = self.context.rescaled
            self._reset()
        accuracy = row.values.get("accuracy/val", math.nan)
        level = self.context.loss.level
        now = Evaluation(row.step, value, level, accuracy)
        self._latest.append(now)
        self._judged = self._judged or (level == level and self.context.evaluations.count >= 4)
        if len(self._latest) == 3:
            before, middle, _ = self._latest
            self._deviations.append(abs(middle.loss - 0.5 * (before.loss + value)))
        # The first values stand for themselves: the minimum may well be the first evaluation.
        smooth = median(each.loss for each in self._latest)
        if smooth < self._best:
            self._best = smooth
            self._at_best = min(self._latest, key=lambda each: each.loss)
            self._since.clear()
            return self.resolve(row.step) if self.current is not None else ()
        self._since.append(now)
        return self._judge_open(now) if self.current is not None else self._judge(now)

    def not_judged(self) -> NotJudged | None:
        """A run without enough evaluations, or without a training loss."""
        return None if self._judged else self.missing()

    def _reset(self) -> None:
        self._best = math.inf
        self._at_best = None
        self._latest.clear()
        self._since.clear()
        self._deviations.clear()

    def _rise(self) -> float:
        return sum(each.loss for each in self._latest) / len(self._latest) - self._best

    def _limit(self) -> float:
        thresholds = self.thresholds
        noise = median(self._deviations) / DEVIATION_MEDIAN
        return max(
            thresholds.of_best * abs(self._best),
            thresholds.noise * noise,
            thresholds.of_start * abs(self.context.loss.start),
        )

    def _judge(self, now: Evaluation) -> Findings:
        thresholds = self.thresholds
        best = self._at_best
        if best is None or now.train != now.train:
            return ()
        if len(self._since) < thresholds.evaluations:
            return ()
        rise = self._rise()
        if rise <= self._limit() or not now.train < thresholds.train * best.train:
            return ()
        above = sum(each.loss > self._best for each in self._since) / len(self._since)
        if above <= thresholds.above:
            return ()
        every = -(-len(self._since) // TREND_OF)
        trend = mann_kendall([best.loss, *(each.loss for each in list(self._since)[::every])])
        if trend <= thresholds.trend_z and rise <= thresholds.obvious * abs(self._best):
            return ()
        self._worst = rise
        return self.open(
            self._severity(rise),
            best.step,
            self._evidence(now, rise),
            series=("loss/val", "loss/train"),
            next=(
                NextTest(
                    do=f"Confusion and train/eval gap of the checkpoint near step {best.step}",
                    analysis="predictions",
                    checkpoint=self.context.checkpoint_before(best.step),
                ),
                NextTest(do="Check the splits for size, overlap and drift", analysis="data"),
            ),
            fixes=self._fixes(best.step),
        )

    def _fixes(self, best: int) -> tuple[str, ...]:
        decay = self.context.info.weight_decay
        stop = f"stop near step {best} and keep the checkpoint from there"
        if decay is None:
            return (stop, "more data or augmentation, dropout, a larger weight decay")
        stronger = f"{10 * decay:.3g}" if decay else "0.01"
        return (stop, f"weight decay {decay:.3g} -> {stronger}, dropout, augmentation, more data")

    def _judge_open(self, now: Evaluation) -> Findings:
        rise = self._rise()
        if rise < self.thresholds.recovered * abs(self._best):
            return self.resolve(now.step)
        severity = self._severity(rise)
        known = self.current.severity if self.current is not None else severity
        if severity == "critical" and known != "critical":
            return self.update(severity=severity, evidence=self._evidence(now, rise))
        # News is worth a message when the episode has doubled in length.
        count = len(self._since)
        if count & (count - 1) or rise <= self._worst:
            return ()
        self._worst = rise
        return self.update(evidence=self._evidence(now, rise))

    def _severity(self, rise: float) -> Severity:
        return "critical" if rise > self.thresholds.critical * abs(self._best) else "warning"

    def _evidence(self, now: Evaluation, rise: float) -> tuple[Evidence, ...]:
        best = self._at_best or now
        thresholds = self.thresholds
        scale = abs(self._best)
        limit = self._limit() / scale if scale else math.inf
        found = [
            Evidence(
                what="relative rise of validation loss over its best",
                value=rise / scale if scale else math.inf,
                threshold=limit,
                step=now.step,
            ),
            Evidence(
                what="training loss over that at the best validation loss",
                value=now.train / best.train if best.train else math.nan,
                threshold=thresholds.train,
                step=now.step,
            ),
            Evidence(what="best validation loss", value=self._best, step=best.step),
        ]
        if now.accuracy > best.accuracy:
            what = "rise of validation accuracy (over-confident rather than worse)"
            found.append(Evidence(what=what, value=now.accuracy - best.accuracy, step=now.step))
        return tuple(found)
