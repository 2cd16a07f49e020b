"""Update ratio off: steps that are far larger or smaller than the weights bear. Advice only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import Mask, named
from traintop.detectors.step_size import USUAL_UPDATE, usual_lr
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Row


class UpdateRatioOffThresholds(Thresholds, frozen=True):
    """Thresholds of `update_ratio_off`."""

    high: float = 0.1
    """Median update over the weights that is too large (DeepDiagnosis, TheDeepChecker)."""
    low: float = 1e-5
    """The same that is too small (DeepDiagnosis; TheDeepChecker says 1e-4, which long runs and
    fine-tuning go below)."""
    decayed: float = 0.1
    """Share of the highest learning rate below which small updates are what the schedule is for."""
    layer_factor: float = 50
    """A layer whose update is this many times larger than that of the median layer, or smaller by
    the square of it (nothing is published for one layer against the others)."""
    layer_records: float = 5
    """Layer records in a row that it must hold."""
    layer_size: float = 512
    """Least parameters of a layer that is judged: biases and norms begin at 0 or 1, where the
    ratio says nothing."""


class UpdateRatioOff(Detector[UpdateRatioOffThresholds]):
    """The median update over the weights outside what trains well, or a layer far off the others.

    Both are symptoms without a consequence, which `lr_too_high` and `lr_too_low` look for.
    """

    id = "update_ratio_off"
    title = "Size of the updates is off"
    needs = "the update over the weights, of the model or per layer"
    record = "Recorder(model, optimizer, layers_every=10), or write the key weight_update"
    thresholds_type: ClassVar[type[Thresholds]] = UpdateRatioOffThresholds

    def __init__(self, context: Context, thresholds: UpdateRatioOffThresholds) -> None:
        super().__init__(context, thresholds)
        self._highest_lr = 0.0
        self._is_large: Mask = np.zeros(0, bool)
        self._names: tuple[str, ...] = ()
        self._runs: Floats = np.zeros(0)
        self._by_layer = False

    def on_block(self, rows: Sequence[Row]) -> Findings:  # noqa: ARG002 - the median is enough
        """Compare the median update with what trains well."""
        context = self.context
        lr = context.lr
        if lr > self._highest_lr:
            self._highest_lr = lr
        median = context.updates.median
        thresholds = self.thresholds
        if thresholds.low <= median <= thresholds.high or median != median:
            if self.current is not None and not self._by_layer:
                return self.resolve(context.last_step)
            return ()
        is_low = median < thresholds.low
        if self.current is not None or context.warming_up or not context.updates.full:
            return ()
        if is_low and lr < thresholds.decayed * self._highest_lr:
            return ()
        self._by_layer = False
        fix = usual_lr(context, median, lower=not is_low)
        step = context.last_step
        words = "small" if is_low else "large"
        limit = thresholds.low if is_low else thresholds.high
        return self.open(
            "info",
            max(0, round(step - 31 * context.stride)),
            (
                Evidence(
                    what="median update over the weights", value=median, threshold=limit, step=step
                ),
            ),
            title=f"Updates are {words}: {median:.2g} of the weights a step",
            series=("update_ratio",),
            causes=(
                Cause(
                    cause=f"learning rate too {'low' if is_low else 'high'}",
                    because=f"a step moves the weights by {median:.2g} of their norm, where "
                    f"{USUAL_UPDATE:g} is usual",
                ),
            ),
            next=(self.next_test("LR range test", "lr_find", step),),
            fixes=() if fix is None else (fix,),
        )

    def on_layer_names(self, names: LayerNames) -> None:
        """Choose the layers that are large enough."""
        self._names = names.names
        self._is_large = np.array(names.numel) >= self.thresholds.layer_size
        self._runs = np.zeros(len(names.names))

    def on_layers(self, stats: LayerStats) -> Findings:
        """Compare each layer's update with the median layer's."""
        ratios = stats.stats.get("update_ratio")
        if ratios is None or ratios.shape != self._runs.shape != (0,):
            return ()
        if self._is_large.shape != ratios.shape:
            return ()
        judged = np.where(self._is_large & (ratios > 0) & np.isfinite(ratios), ratios, np.nan)
        known = judged[~np.isnan(judged)]
        # Of two layers each is far off the other.
        if len(known) < 3:
            return ()
        median = float(np.median(known))
        factor = self.thresholds.layer_factor
        # Comparisons with NaN, a layer that is not judged, are false.
        off = (judged > factor * median) | (judged * factor * factor < median)
        self._runs = np.where(off, self._runs + 1, 0)
        sure = self._runs >= self.thresholds.layer_records
        if self.current is not None:
            over = self._by_layer and not off.any()
            return self.resolve(stats.step) if over else ()
        if not sure.any():
            return ()
        self._by_layer = True
        worst = int(np.nanargmax(np.where(sure, np.abs(np.log(judged / median)), np.nan)))
        return self.open(
            "info",
            stats.step,
            (
                Evidence(
                    what=f"update of {self._names[worst]} over that of the median layer",
                    value=float(judged[worst]) / median,
                    threshold=factor,
                    step=stats.step,
                ),
                Evidence(what="median update of the layers", value=median, step=stats.step),
            ),
            title=f"Updates of {self._names[worst]} are far off those of the other layers",
            layers=named(self._names, sure),
            next=(self.next_test("Gradient flow through the layers", "gradient_flow", stats.step),),
        )

    def not_judged(self) -> NotJudged | None:
        """A run without updates."""
        return None if self.context.updates.count or self.context.layers.records else self.missing()
