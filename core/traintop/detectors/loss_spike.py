"""Loss spikes: single records far above their neighbours."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.windows import (
    DIFFERENCE_MEDIAN,
    RunningMedian,
    median,
    noise_floor,
    theil_sen,
    window_size,
)
from traintop.records import Cause, Evidence, NotJudged, Row

LEAST_LOG_SPREAD = 1e-3
"""The least spread of a log-loss that is believed: 0.1 % of the loss, as in `noise_floor`."""


class LossSpikeThresholds(Thresholds, frozen=True):
    """Thresholds of `loss_spike`. All must be passed at once.

    Published single rules (z > 6 or 7 of the past, 2 x median) either miss the spikes of short runs
    or fire on heavy-tailed batches; a prototype with these, measured on 417 labelled runs, found
    88 % of single spikes and none in healthy ones.
    """

    window: float = 50
    """Accepted records that are the past."""
    least_records: float = 30
    """Accepted records before anything is judged (runmedic)."""
    least_records_averaged: float = 12
    """The same where a record is a mean over many steps."""
    z: float = 4.5
    """Robust standard deviations (MAD) of the log-loss: losses are skewed, their logs less so. For
    `records`; in a longer run the largest of all that noise, sqrt(2 ln n), is larger, and the
    threshold grows alike: 6.4 in 200,000 records, about OLMo-core's 6 and OLMo 2's 7."""
    small: float = 0.5
    """Share above the median below which a spike is a small one (runmedic's 1.5 x trend) ..."""
    z_small: float = 6.0
    """... for which this takes the place of `z` (OLMo-core's 6): a tail reaches that far too. So it
    does where the loss of guessing is not known."""
    records: float = 450
    """Length of the run that `z` and `over_range` are meant for."""
    deviations: float = 5.0
    """Median absolute deviations of the loss itself."""
    of_median: float = 0.25
    """Share above the median."""
    of_start: float = 0.07
    """Share of the starting loss: near 0 every batch is many times the median."""
    over_maximum: float = 1.2
    """Multiple of the largest accepted loss."""
    over_range: float = 1.6
    """Multiple of the distance from median to maximum: how far the tail is used to reach."""
    over_range_small_batch: float = 3.0
    """The same for batches of up to 16, whose means are heavy-tailed, and where the loss of
    guessing is not known: squared errors have no scale, one sample may be most of a batch."""
    hard_samples: float = 15.0
    """Nats that a few hard samples add to the sum over a batch (three misjudged ones, 5 each): a
    classification loss may rise by this over the batch size for no reason but the draw."""
    quiet: float = 50
    """Records without a spike that end the episode; spikes closer together are one."""
    shift_after: float = 15
    """Spikes in a row that are a new level instead: that is for `divergence` to judge."""


class LossSpike(Detector[LossSpikeThresholds]):
    """Records far out of the last accepted ones; spikes never enter the window they are held to."""

    id = "loss_spike"
    title = "Loss spike"
    needs = "training loss, 30 records or more"
    record = "recorder.step(loss=loss) at each step: the mean over an epoch hides a spike"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = LossSpikeThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LossSpikeThresholds) -> None:
        super().__init__(context, thresholds)
        self._window: deque[float] = deque(maxlen=window_size(thresholds.window))
        self._largest = -math.inf
        self._over_maximum = thresholds.over_maximum
        self._regime = 0
        self._run = 0
        self._spikes = 0
        self._quiet = 0
        self._usual = 0.0
        self._limit = 0.0
        self._peak = (0.0, 0.0, 0.0, 0)
        """The highest loss, the median of those before, what it had to exceed, and its step."""
        self._back = 0
        self._judged = False
        self._before: Row | None = None

    def on_train(self, row: Row) -> Findings:
        """Judge a loss by the past, then let it in unless it is a spike."""
        value = row.values.get("loss/train")
        if value is None or value - value != 0.0:
            return ()
        window = self._window
        if self.context.regime != self._regime:
            self._regime = self.context.regime
            self._forget()
        # The one condition that costs nothing, and that hardly any healthy record passes.
        if not value > self._over_maximum * self._largest or not self._is_spike(value):
            leaving = window[0] if len(window) == window.maxlen else math.nan
            window.append(value)
            if value > self._largest:
                self._largest = value
            elif leaving == self._largest:
                self._largest = max(window)
            self._run = 0
            self._before = row
            return self._calm(row) if self.current is not None else ()
        self._run += 1
        if self._run >= self.thresholds.shift_after:
            self._forget()
            self._run = 0
            self._quiet = 0
            return self._end(row.step) if self.current is not None else ()
        return self._spike(row, value)

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss, or with too few records."""
        return None if self._judged or len(self._window) >= self._least() else self.missing()

    def _forget(self) -> None:
        self._window.clear()
        self._largest = -math.inf

    def _least(self) -> float:
        thresholds = self.thresholds
        averaged = self.context.averaged
        return thresholds.least_records_averaged if averaged else thresholds.least_records

    def _is_spike(self, value: float) -> bool:
        window = self._window
        if len(window) < self._least():
            return False
        self._judged = True
        thresholds = self.thresholds
        values = without_fall(list(window))
        usual = self._usual = median(values)
        deviation = median(abs(each - usual) for each in values)
        deviation = max(deviation, noise_floor(usual, values))
        context = self.context
        batch = context.info.batch_size
        bounded = context.loss.chance > 0.0
        small = not bounded or (batch is not None and batch <= 16)
        # The shared level leaves absurd losses out, so it may have counted none.
        known = math.log(max(1, context.loss.count))
        growth = math.sqrt(max(1.0, known / math.log(thresholds.records)))
        reach = growth * (thresholds.over_range_small_batch if small else thresholds.over_range)
        least = max(
            thresholds.deviations * deviation,
            thresholds.of_median * abs(usual),
            thresholds.of_start * abs(context.loss.start),
            thresholds.hard_samples / batch if batch and bounded else 0.0,
            reach * (max(values) - usual),
        )
        clear = bounded and value >= (1.0 + thresholds.small) * usual
        z = thresholds.z if clear else thresholds.z_small
        self._limit = usual + least
        return value > self._limit and log_z(value, values) > growth * z

    def _spike(self, row: Row, value: float) -> Findings:
        self._quiet = 0
        self._back = 0
        self._spikes += self._run == 1
        usual = self._usual
        higher = self._peak[0] < value
        if higher or self.current is None:
            self._peak = (value, usual, self._limit, row.step)
        if self.current is None:
            causes, fixes = self._causes(row)
            return self.open(
                "warning",
                row.step,
                self._evidence(),
                title=f"Loss spike at step {row.step}",
                series=("loss/train",),
                causes=causes,
                next=(
                    self.next_test("Check the batches around the spike", "data", row.step),
                    self.next_test("Gradient flow through the layers", "gradient_flow", row.step),
                ),
                fixes=fixes,
            )
        if self._run > 1 and not higher:
            return ()
        return self.update(evidence=self._evidence(), **self._words())

    def _causes(self, row: Row) -> tuple[tuple[Cause, ...], tuple[str, ...]]:
        """Tell a bad batch from a bad step by the gradients, where both records have them."""
        context = self.context
        causes: list[Cause] = []
        fixes: list[str] = []
        rise, jump = context.lr_rise(row.step, within=50), context.lr_jump_up(row.step, within=50)
        if rise is not None and jump is not None:
            causes.append(rise)
            fixes.append(f"lr {jump.after:.3g} -> {jump.before:.3g}, as before step {jump.step}")
        before = self._before.values if self._before is not None else {}
        norm, usual = row.values.get("grad_norm", math.nan), before.get("grad_norm", math.nan)
        if norm > 3.0 * usual > 0.0:
            because = f"the gradient norm was {norm:.3g} with it, {usual:.3g} one record before"
            causes.append(Cause(cause="a batch unlike the others", because=because))
            clip = context.info.grad_clip
            if clip is None or clip > 2.0 * usual:
                fixes.append(f"clip at {2.0 * usual:.2g}, twice the gradient norm before it")
        path = context.checkpoint_before(row.step)
        back = f"resume from {path} and skip" if path else "skip"
        fixes.append(f"if the loss does not come back: {back} the batches around step {row.step}")
        return tuple(causes), tuple(fixes)

    def _words(self) -> dict[str, str]:
        if self._spikes < 2 or self.current is None:
            return {}
        return {"title": f"{self._spikes} loss spikes since step {self.current.onset_step}"}

    def _calm(self, row: Row) -> Findings:
        self._back = self._back or row.step
        self._quiet += 1
        return self._end(self._back) if self._quiet >= self.thresholds.quiet else ()

    def _end(self, step: int) -> Findings:
        found = self.resolve(step, evidence=self._evidence())
        self._spikes = 0
        self._quiet = 0
        self._back = 0
        self._peak = (0.0, 0.0, 0.0, 0)
        return found

    def _evidence(self) -> tuple[Evidence, ...]:
        value, usual, least, step = self._peak
        ratio = value / usual if usual else math.inf
        what = "highest loss over the median of those before"
        limit = 1.0 + self.thresholds.of_median
        return (
            Evidence(what=what, value=ratio, threshold=limit, step=step),
            Evidence(what="spikes in this episode", value=float(max(1, self._spikes))),
            Evidence(what="highest loss", value=value, threshold=least, step=step),
            Evidence(what="median of the losses before", value=usual),
        )


def without_fall(values: list[float]) -> list[float]:
    """Values moved down along their own exponential fall to the present, where there is one.

    While the loss falls quickly, the past of a window is above its present, and a spike would have
    to reach that. Rising or not positive values are left as they are.
    """
    if min(values) <= 0.0:
        return values
    # Every second value and their Theil-Sen slope: 300 pairs of a window of 50.
    slope = theil_sen([math.log(value) for value in values[::2]]) / 2.0
    if not slope < 0.0:
        return values
    count = len(values)
    return [value * math.exp(slope * (count - index)) for index, value in enumerate(values)]


def log_z(value: float, past: list[float]) -> float:
    """Robust z-score of the log-loss; of the loss itself where it is not positive."""
    least = 0.0
    if min(past) > 0.0:
        value = math.log(value)
        past = [math.log(each) for each in past]
        least = LEAST_LOG_SPREAD
    window = RunningMedian(len(past))
    for each in past:
        window.add(each)
    # The MAD of 50 values errs by 15 %; the larger of two estimates errs downwards less often.
    differences = [abs(after - before) for before, after in pairwise(past)]
    spread = max(least, window.spread(), median(differences) / DIFFERENCE_MEDIAN)
    return (value - window.median) / spread if spread else math.inf
