"""Missing zero_grad: gradients pile up from step to step instead of being those of one batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.windows import median
from traintop.records import Cause, Evidence, NotJudged, Row


class ZeroGradMissingThresholds(Thresholds, frozen=True):
    """Thresholds of `zero_grad_missing`.

    The sum of k batch gradients is at least sqrt(k) times as long as one, and points the way of the
    sum of k - 1: from the first step on, the norm grows and the cosine goes to 1.
    """

    cosine: float = 0.9
    """Median cosine between successive gradients; a prototype's value. Batches alone reach it only
    where they are nearly the whole of the data."""
    certain: float = 0.98
    """Mean cosine over the batches of an epoch or window that says it alone: of single batches it
    is reached only where each is all of the data ..."""
    batches: float = 8
    """... which it is not in an epoch of these many."""
    growth: float = 3.5
    """Multiple of the first norm that is reached; a prototype's value. sqrt(12) = 3.5."""
    rises: float = 0.9
    """Share of the records whose norm is not below the one before (by 3 % at most)."""
    early: float = 1.4
    """Multiple of the first norm that the fourth must exceed. Sums reach 2 at least; a gradient
    that grows exponentially on its way out of a flat region is slower there."""
    layers: float = 2.5
    """Multiple of their first gradients that the median updated layer reaches by its second
    record; ten independent batches add up to 3.2."""
    least_records: float = 8
    """Records of the first ones that are judged ..."""
    records: float = 48
    """... and at most: a loop that forgets it does so from the first step."""
    harm_records: float = 300
    """Records within which the loss must suffer, where no layer record shows who piles up."""


class ZeroGradMissing(Detector[ZeroGradMissingThresholds]):
    """Gradient norms that add up from the first step, in the layers that are updated."""

    id = "zero_grad_missing"
    title = "Gradients accumulate: zero_grad is missing"
    needs = "gradient norm from the first step on, better with the cosine between gradients"
    record = "Recorder(model, optimizer) from the first step on writes `grad_norm` and `grad_cos`"
    thresholds_type: ClassVar[type[Thresholds]] = ZeroGradMissingThresholds

    def __init__(self, context: Context, thresholds: ZeroGradMissingThresholds) -> None:
        super().__init__(context, thresholds)
        self._rescaled = 0
        self._over = False
        self._piled = False
        self._steps: list[int] = []
        self._norms: list[float] = []
        self._cosines: list[float] = []
        self._updates = 0

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Judge the first records; then wait for the harm, if they were suspicious."""
        over: Findings = ()
        if self.context.rescaled != self._rescaled:
            # Another process, or another batch, is judged anew from its own first records.
            self._rescaled = self.context.rescaled
            self._begin()
            over = self.resolve(rows[0].step) if self.current is not None else ()
        return over if self._over else (*over, *self._judge(rows))

    def not_judged(self) -> NotJudged | None:
        """A run without gradient norms."""
        return None if self._norms else self.missing()

    def _judge(self, rows: Sequence[Row]) -> Findings:
        context = self.context
        for row in rows:
            norm = row.values.get("grad_norm", math.nan)
            if 0.0 < norm < ABSURD and len(self._norms) < self.thresholds.records:
                self._steps.append(row.step)
                self._norms.append(norm)
                self._updates += row.values.get("update_ratio", 1.0) != 0.0
                cosine = row.values.get("grad_cos", math.nan)
                if cosine == cosine:
                    self._cosines.append(cosine)
        if context.averaged:
            return self._judge_averaged()
        count = len(self._norms)
        if count < self.thresholds.least_records:
            self._over = context.records > self.thresholds.harm_records
            return ()
        if not self._piled and not self._piles_up():
            self._over = count >= self.thresholds.records
            return ()
        self._piled = True
        self._over = context.records > self.thresholds.harm_records
        return self._verdict()

    def _begin(self) -> None:
        self._over = False
        self._piled = False
        self._updates = 0
        self._steps.clear()
        self._norms.clear()
        self._cosines.clear()

    def _piles_up(self) -> bool:
        thresholds = self.thresholds
        norms = self._norms
        if norms[-1] < thresholds.growth * norms[0] or norms[3] < thresholds.early * norms[0]:
            return False
        if self._updates < 0.75 * len(norms):
            # Steps without an update are accumulation on purpose.
            return False
        micro = self.context.info.grad_accumulation or 1
        if len(norms) <= micro:
            return False
        if any(b < 0.5 * a for a, b in pairwise(norms)):
            # Cleared after all, now and then: accumulation that does not say so.
            return False
        rising = sum(b >= 0.97 * a for a, b in pairwise(norms))
        if rising < thresholds.rises * (len(norms) - 1):
            return False
        cosines = self._cosines
        if len(cosines) >= 0.5 * len(norms):
            return median(cosines) > thresholds.cosine
        # Without the cosine, only a growth that is linear: what explodes leaves a sum behind.
        return norms[7] < 9.0 * norms[0]

    def _judge_averaged(self) -> Findings:
        thresholds = self.thresholds
        norms, cosines = self._norms, self._cosines
        if not cosines:
            return ()
        context = self.context
        # A run that ends in NaN after its first mean has no second norm to compare with.
        lost = context.is_open("nan_inf")
        grown = norms[-1] > thresholds.growth * norms[0] or (lost and len(norms) == 1)
        loss = context.loss
        harmed = lost or (len(norms) > 2 and (loss.harmed or loss.level > loss.start))
        certain = self._certain(median(cosines))
        if certain or (median(cosines) > thresholds.cosine and grown and harmed):
            return self._open()
        self._over = len(norms) >= thresholds.records
        return ()

    def _certain(self, cosine: float) -> bool:
        """Whether the mean cosine over many batches leaves nothing else, of layers all updated."""
        thresholds = self.thresholds
        if cosine < thresholds.certain or len(self._cosines) < 2:
            return False
        if self.context.stride < thresholds.batches:
            return False
        updates = self.context.layers.last.get("update_ratio")
        return updates is not None and bool((updates > 0).all())

    def _verdict(self) -> Findings:
        layers = self.context.layers
        growth = self._growth_of_updated()
        if growth is not None:
            if growth >= self.thresholds.layers:
                return self._open()
            # Only layers that nobody updates pile up: nobody clears their gradients either.
            self._over = True
            return ()
        if layers.records == 1 and len(self._norms) < self.thresholds.records:
            return ()
        context = self.context
        if context.loss.harmed or context.is_open("divergence", "exploding_gradients", "nan_inf"):
            return self._open()
        return ()

    def _growth_of_updated(self) -> float | None:
        """The median growth of gradient norms since the first layer record, of updated layers."""
        layers = self.context.layers
        if layers.records < 2:
            return None
        first, last = layers.first.get("grad_norm"), layers.last.get("grad_norm")
        if first is None or last is None or first.shape != last.shape:
            return None
        usable = np.isfinite(first) & np.isfinite(last) & (first > 0)
        updates = layers.last.get("update_ratio")
        if updates is None or updates.shape != first.shape:
            usable &= layers.trainable(len(first))
        else:
            # A layer that piles up and is never updated is outside the optimizer, which clears only
            # its own: the norm of all of them then says nothing.
            if (last[usable & (updates == 0)] > 2.0 * first[usable & (updates == 0)]).any():
                return 0.0
            usable &= updates > 0
        return float(np.median(last[usable] / first[usable])) if usable.any() else None

    def _open(self) -> Findings:
        self._over = True
        context, thresholds = self.context, self.thresholds
        norms, cosines = self._norms, self._cosines
        growth = norms[-1] / norms[0]
        last, step = len(norms), self._steps[-1]
        found = [
            Evidence(
                what=f"gradient norm over the first, after {last} records",
                value=growth,
                threshold=thresholds.growth,
                step=step,
            )
        ]
        if cosines:
            what = "median cosine between successive gradients"
            value = median(cosines)
            found.append(Evidence(what=what, value=value, threshold=thresholds.cosine, step=step))
        by_layer = self._growth_of_updated()
        if by_layer is not None:
            what = "median growth of the gradients of the layers that are updated"
            found.append(Evidence(what=what, value=by_layer, threshold=thresholds.layers))
        because = f"the gradient norm rose {growth:.3g}x in {last} records, nearly without a fall"
        if cosines:
            because = f"each gradient is nearly the one before (cosine {median(cosines):.3g})" + (
                f", and the norm rose {growth:.3g}x in {last} records" if last > 1 else ""
            )
        return self.open(
            "critical" if context.loss.harmed else "warning",
            self._steps[0],
            found,
            series=("grad_norm", "grad_cos") if cosines else ("grad_norm",),
            causes=(
                Cause(cause="optimizer.zero_grad() is not called between steps", because=because),
            ),
            next=(
                self.next_test(
                    f"Gradient norm of one batch, to compare with the {norms[-1]:.3g} logged,",
                    "gradient_flow",
                    step,
                ),
            ),
            fixes=(
                "call optimizer.zero_grad() once per optimizer.step(), before loss.backward()",
                "if they are accumulated on purpose: divide the loss by N, clear after each step",
            ),
        )
