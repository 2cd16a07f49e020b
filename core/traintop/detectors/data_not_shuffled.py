"""Data not shuffled: every epoch, the loss goes through the same ups and downs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import MAD_TO_SIGMA
from traintop.records import Cause, Evidence, Floats, NextTest, NotJudged, Row

BINS = 256
"""Longer epochs are averaged to so many points: order shows there as well."""

KEPT = 5
"""Epochs that are compared."""

OUTLIER = 3.0
"""Robust standard deviations beyond which a residual counts no more."""

MOST_RECORDS = 100_000
"""Records that are kept of an epoch: a longer one is not judged, for three of them are not seen."""

LEAST_RECORDS = 12
"""Records of an epoch that a pattern can be seen in."""


class DataNotShuffledThresholds(Thresholds, frozen=True):
    """Thresholds of `data_not_shuffled`.

    The method is the correlation of the loss with itself one epoch later, after the trend within
    each epoch is taken off (without that, 35 of 84 healthy runs of a prototype looked periodic).
    """

    epochs: float = 3
    """Whole epochs that must be there ..."""
    epochs_sure: float = 2
    """... or so many, where they are correlated beyond doubt:"""
    sure_z: float = 6.0
    """standard errors of Fisher's z of the correlation, by which it is above 0."""
    correlation: float = 0.3
    """Mean correlation of neighbouring epochs (a prototype's value) ..."""
    errors: float = 4.0
    """... and multiple of its standard error under no pattern, 1/sqrt((records - 2) x pairs)."""
    amplitude: float = 0.1
    """Standard deviation of the common pattern, in log-loss: 10 % ..."""
    sure_correlation: float = 0.6
    """... or, where the epochs are correlated so highly (as highly as two alone must be), ..."""
    sure_amplitude: float = 0.02
    """... 2 %: the documents of a corpus differ by less than classes do."""
    running_mean: float = 25.0
    """Ratio of the variance of successive differences in the first quarter of the epochs to the
    last: a mean that starts anew each epoch is noisy first and still later; that is a matter of
    logging."""
    lr_spread: float = 1.5
    """Factor between the lowest and highest learning rate of an epoch from which on the schedule
    may be what repeats itself."""


class DataNotShuffled(Detector[DataNotShuffledThresholds]):
    """The detrended log-losses of the last epochs, correlated with each other."""

    id = "data_not_shuffled"
    title = "The loss repeats its pattern every epoch"
    needs = f"training loss per step with its epoch, 3 epochs of at least {LEAST_RECORDS} records"
    record = "recorder.step(loss=..., epoch=...), or steps_per_epoch= as metadata"
    thresholds_type: ClassVar[type[Thresholds]] = DataNotShuffledThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: DataNotShuffledThresholds) -> None:
        super().__init__(context, thresholds)
        self._epoch = -1
        self._row: list[float] = []
        self._start = 0
        self._past: list[Floats] = []
        self._starts: list[int] = []
        self._length = 0
        self._whole = False
        self._lr = [math.inf, 0.0]
        self._rescaled = 0
        self._judged = False
        self._calm = 0

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Gather epochs; judge when one has ended."""
        # A running mean that begins anew in each epoch repeats itself whatever the data.
        if self.context.averaged or self.context.info.averaged_loss:
            return ()
        per_epoch = self.context.info.steps_per_epoch
        lr = self.context.lr
        found: Findings = ()
        for row in rows:
            loss = row.values.get("loss/train")
            if loss is None:
                continue
            epoch = row.epoch
            if epoch is not None and epoch - epoch == 0.0:
                epoch = int(epoch)
            elif per_epoch:
                epoch = row.step // per_epoch
            else:
                continue
            if epoch != self._epoch:
                found += self._end_epoch(epoch, row.step)
            if len(self._row) < MOST_RECORDS:
                self._row.append(math.log(loss) if 0.0 < loss < math.inf else math.nan)
            else:
                self._whole = False
            if lr > 0.0:
                self._lr[0] = min(self._lr[0], lr)
                self._lr[1] = max(self._lr[1], lr)
        return found

    def not_judged(self) -> NotJudged | None:
        """A run without whole epochs."""
        return None if self._judged else self.missing()

    def _end_epoch(self, epoch: int, step: int) -> Findings:
        """Keep the epoch that has ended, if it was whole, and judge."""
        values = np.array(self._row)
        whole = self._whole and epoch == self._epoch + 1
        begun = self._start
        calm_lr = self._lr[1] <= self.thresholds.lr_spread * self._lr[0]
        self._row = []
        self._lr = [math.inf, 0.0]
        # The first epoch is whole only if the run was seen from its beginning.
        self._whole = self._epoch >= 0 or epoch == 0
        self._epoch = epoch
        self._start = step
        if self.context.rescaled != self._rescaled:
            self._rescaled = self.context.rescaled
            self._past, self._starts = [], []
            return ()
        if not whole or len(values) < LEAST_RECORDS:
            return ()
        # The last batch may be short or missing; more than that is another epoch length.
        if self._past and abs(len(values) - self._length) > 1:
            self._past, self._starts = [], []
        if not calm_lr or not np.isfinite(values).all():
            self._past, self._starts = [], []
            return ()
        if not self._past:
            self._length = len(values)
        self._past.append(_detrended(_binned(values, self._length)))
        self._starts.append(begun)
        del self._past[:-KEPT], self._starts[:-KEPT]
        if len(self._past) < self.thresholds.epochs_sure:
            return ()
        return self._judge(step)

    def _judge(self, step: int) -> Findings:
        thresholds = self.thresholds
        self._judged = True
        rows = self._past
        size = len(rows[0])
        correlations = [_correlation(one, other) for one, other in pairwise(rows)]
        # The first epochs fall too steeply to show a pattern besides; the last two may do.
        if self._sure(correlations[-1], size):
            rows, correlations = rows[-2:], correlations[-1:]
        elif len(rows) < thresholds.epochs:
            return ()
        mean = sum(correlations) / len(correlations)
        limit = max(
            thresholds.correlation,
            thresholds.errors / math.sqrt(max(1, size - 2) * len(correlations)),
        )
        amplitude = float(np.mean(rows, axis=0).std())
        sure = mean > max(limit, thresholds.sure_correlation)
        least = thresholds.sure_amplitude if sure else thresholds.amplitude
        repeats = (
            mean > limit
            and min(correlations) > 0.0
            and amplitude > least
            and not self._is_running_mean(rows)
        )
        if self.current is not None:
            self._calm = 0 if repeats else self._calm + 1
            return self.resolve(step) if self._calm >= 2 else ()
        if not repeats:
            return ()
        self._calm = 0
        return self.open(
            "warning",
            self._starts[0],
            (
                Evidence(
                    what=f"correlation of the loss with itself {size} records later",
                    value=mean,
                    threshold=limit,
                    step=step,
                ),
                Evidence(
                    what="amplitude of the common pattern, in log-loss",
                    value=amplitude,
                    threshold=least,
                ),
                Evidence(
                    what="pairs of epochs compared, all of them correlated",
                    value=float(len(correlations)),
                    threshold=1.0,
                ),
            ),
            series=("loss/train",),
            causes=(
                Cause(
                    cause="every epoch serves the samples in the same order",
                    because=f"the loss at the same place of {len(rows)} epochs moves alike",
                ),
            ),
            next=(
                NextTest(
                    do="Look at the labels of the first batches: are they sorted?",
                    analysis="data",
                ),
            ),
            fixes=(
                "DataLoader(..., shuffle=True); a DistributedSampler wants set_epoch(epoch)",
                "for a stream: a larger shuffle buffer, another order of the shards each epoch",
            ),
        )

    def _sure(self, correlation: float, size: int) -> bool:
        """Whether two epochs alone are correlated beyond doubt."""
        thresholds = self.thresholds
        if correlation <= thresholds.sure_correlation or size < 4:
            return False
        z = math.atanh(min(correlation, 0.999999)) * math.sqrt(size - 3)
        return z > thresholds.sure_z

    def _is_running_mean(self, rows: Sequence[Floats]) -> bool:
        quarter = max(2, len(rows[0]) // 4)
        differences = np.diff(np.array(rows), axis=1) ** 2
        late = float(differences[:, -quarter:].mean())
        return float(differences[:, :quarter].mean()) > self.thresholds.running_mean * late


def _binned(values: Floats, length: int) -> Floats:
    """An epoch of about `length` records as at most 256 points."""
    values = values[:length] if len(values) >= length else np.append(values, values[-1])
    if length <= BINS:
        return values
    edges = np.linspace(0, length, BINS + 1).astype(np.int64)
    means: Floats = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return means


def _detrended(values: Floats) -> Floats:
    """The values less their least-squares parabola, outliers brought in: two spikes are no pattern.

    A straight line would leave the bend of a loss that falls fast, in every epoch alike.
    """
    at = np.linspace(-1.0, 1.0, len(values))
    rest = values - np.polynomial.Polynomial.fit(at, values, 2)(at)
    spread = MAD_TO_SIGMA * float(np.median(np.abs(rest - np.median(rest))))
    clipped: Floats = np.clip(rest, -OUTLIER * spread, OUTLIER * spread)
    return np.asarray(clipped - clipped.mean())


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's correlation of two detrended epochs; 0 where one of them is a line."""
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale > 0 else 0.0
