"""Noisy gradients: batches so small for the step size that steps undo one another."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.windows import median, window_size
from traintop.records import Cause, Evidence, NotJudged, Row


class NoisyGradientsThresholds(Thresholds, frozen=True):
    """Thresholds of `noisy_gradients`.

    Between batches of a noise scale far above the batch size (McCandlish et al. 2018,
    arXiv 1812.06162) gradients are orthogonal. That alone is how every run with small batches ends;
    it is a fault while the steps are large, the loss is high and nothing is won.
    """

    window: float = 96
    """Records that are judged."""
    batch: float = 16
    """Largest batch, in samples, whose noise can be that: above, large steps are to blame."""
    batch_of_few: float = 8
    """The same where steps are not large, or no cosine is logged; a prototype's value."""
    cosine: float = 0.05
    """Magnitude of the median cosine between successive gradients, below which they share no
    direction."""
    update: float = 0.01
    """Median update over weights: ten times the 1e-3 that is aimed at (Karpathy)."""
    variation: float = 0.8
    """Standard deviation over mean of the losses of such batches; a prototype's value."""
    noise: float = 0.25
    """Standard deviation of a record, in shares of all that was won since the start."""
    halves: float = 0.75
    """The second half of the window over the first, in the mean: below, the run makes progress."""
    level: float = 0.3
    """Mean loss over the starting loss: below, the run has learnt what it will."""
    steady: float = 1.15
    """Highest over lowest of the last three validation losses, below which noise does no harm."""
    held: float = 2
    """Judgements in a row, 24 records apart, that must agree."""
    recovered: float = 0.3
    """Share of the level of the loss at which it opened, that ends the episode."""


class NoisyGradients(Detector[NoisyGradientsThresholds]):
    """Orthogonal gradients, large updates, a loss that is high, noisy and not falling."""

    id = "noisy_gradients"
    title = "Gradients are mostly noise: the batch is too small for this step size"
    needs = "training loss of each step, and the cosine between gradients or the batch size"
    record = "Recorder(model, optimizer, batch_size=...) writes `grad_cos` and `weight_update`"
    thresholds_type: ClassVar[type[Thresholds]] = NoisyGradientsThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: NoisyGradientsThresholds) -> None:
        super().__init__(context, thresholds)
        size = window_size(thresholds.window)
        self._losses: deque[float] = deque(maxlen=size)
        self._cosines: deque[float] = deque(maxlen=size)
        self._regime = 0
        self._blocks = 0
        self._level = math.nan
        self._held = 0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Take the losses and cosines; judge them now and then."""
        context = self.context
        if context.averaged:
            return ()
        batch = context.info.batch_size
        if batch is not None and batch > self.thresholds.batch:
            self._judged = True
            return ()
        if context.regime != self._regime:
            self._regime = context.regime
            self._losses.clear()
            self._cosines.clear()
        for row in rows:
            values = row.values
            loss = values.get("loss/train", math.nan)
            if -ABSURD < loss < ABSURD:
                self._losses.append(loss)
            cosine = values.get("grad_cos", math.nan)
            if cosine == cosine:
                self._cosines.append(cosine)
        self._blocks += 1
        # Three blocks are a quarter of the window: nothing can have changed in less.
        if self._blocks % 3 or len(self._losses) < self.thresholds.window or context.warming_up:
            return ()
        return self._judge(rows[-1].step)

    def not_judged(self) -> NotJudged | None:
        """A run whose records are means, or without a word on its gradients or batches."""
        return None if self._judged else self.missing()

    def _judge(self, step: int) -> Findings:
        mean = fmean(self._losses)
        if self.current is not None:
            return self.resolve(step) if mean < self.thresholds.recovered * self._level else ()
        if not self._is_noise(mean):
            self._held = 0
            return ()
        self._held += 1
        if self._held < self.thresholds.held:
            return ()
        self._held = 0
        return self._open(step, mean)

    def _is_noise(self, mean: float) -> bool:
        thresholds = self.thresholds
        start = self.context.loss.start
        with_cosine = len(self._cosines) >= 0.5 * thresholds.window
        batch = self.context.info.batch_size
        self._judged = self._judged or with_cosine or batch is not None
        if not mean > thresholds.level * start > 0.0:
            return False
        deviation = self._deviation(mean)
        if with_cosine and abs(median(self._cosines)) >= thresholds.cosine:
            return False
        # Steps that are large show it; or else batches of a few samples whose losses scatter.
        large = with_cosine and self.context.updates.median > thresholds.update
        few = batch is not None and batch <= thresholds.batch_of_few
        if not large and not (few and deviation > thresholds.variation * mean):
            return False
        losses = list(self._losses)
        half = len(losses) // 2
        if fmean(losses[half:]) < thresholds.halves * fmean(losses[:half]):
            return False
        return deviation >= thresholds.noise * abs(start - mean) and not self._steady()

    def _deviation(self, mean: float) -> float:
        return math.sqrt(fmean([(each - mean) ** 2 for each in self._losses]))

    def _steady(self) -> bool:
        """Whether evaluations, which average the noise away, say that it does no harm."""
        last = [each.loss for each in self.context.evaluations.past][-3:]
        if len(last) < 3 or not all(each > 0.0 for each in last):
            return False
        return max(last) < self.thresholds.steady * min(last)

    def _open(self, step: int, mean: float) -> Findings:
        context, thresholds = self.context, self.thresholds
        self._level = mean
        variation = self._deviation(mean) / mean
        with_cosine = len(self._cosines) >= 0.5 * thresholds.window
        info, update = context.info, context.updates.median
        start = context.loss.start
        level = Evidence(
            what="mean loss over its start",
            value=self._level / start,
            threshold=thresholds.level,
            step=step,
        )
        found = [
            level,
            Evidence(
                what="standard deviation over mean of the losses",
                value=variation,
                threshold=thresholds.variation,
            ),
        ]
        because = f"the losses of single records scatter by {variation:.0%} of their mean"
        if with_cosine:
            cosine = median(self._cosines)
            what = "median cosine between successive gradients"
            found.append(Evidence(what=what, value=cosine, threshold=thresholds.cosine))
            because = f"successive gradients have no direction in common (cosine {cosine:.2g})"
        if update == update:
            what = "median update over weights"
            found.append(Evidence(what=what, value=update, threshold=thresholds.update))
            because += f", while each step moves the weights by {update:.2g}"
        batch = f"a batch of {info.batch_size}" if info.batch_size else "the batch"
        return self.open(
            "warning",
            max(context.regime_step, round(step - len(self._losses) * context.stride)),
            found,
            series=("loss/train", "grad_cos", "update_ratio"),
            causes=(Cause(cause=f"{batch} is too small for this step size", because=because),),
            next=(
                self.next_test("Measure the gradient noise scale", "batch_size", step),
                self.next_test("LR range test", "lr_find", step),
            ),
            fixes=self._fixes(update),
        )

    def _fixes(self, update: float) -> tuple[str, ...]:
        fixes: list[str] = []
        if self.context.info.batch_size:
            size = max(32, 8 * self.context.info.batch_size)
            steps = -(-size // self.context.info.batch_size)
            fixes.append(
                f"batch size {self.context.info.batch_size} -> {size}, or accumulate gradients "
                f"over {steps} steps"
            )
        lr = self.context.lr
        if lr > 0.0:
            # To bring the update to about 3e-3, and by 3 to 10 at once.
            share = min(10.0, max(3.0, update / 3e-3)) if update == update else 5.0
            fixes.append(f"lr {lr:.3g} -> {lr / share:.2g}")
        return tuple(fixes)
