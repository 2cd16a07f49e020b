"""Out of memory soon: the device is nearly full, or will be before the run ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.records import Evidence, NextTest, NotJudged, Row, Severity


class OutOfMemorySoonThresholds(Thresholds, frozen=True):
    """Thresholds of `out_of_memory_soon`."""

    share: float = 0.92
    """Share of the device's memory that is a warning while memory grows (TraceML)."""
    critical: float = 0.97
    """Share that is critical then (TraceML)."""
    records: float = 20
    """Records in a row above the share; a single long batch is none."""
    records_averaged: float = 2
    """The same where a record is a mean over many steps."""
    grown: float = 0.02
    """Share by which memory must have grown since the first records: frameworks that reserve nearly
    all by design begin there and stay."""


class OutOfMemorySoon(Detector[OutOfMemorySoonThresholds]):
    """Judged against the capacity that the run recorded; a share that stays is by design."""

    id = "out_of_memory_soon"
    title = "GPU memory is nearly full and grows"
    needs = "GPU memory and the device's capacity"
    record = "gpu_memory_mb in each record, and gpu_memory_total_mb in run.json"
    thresholds_type: ClassVar[type[Thresholds]] = OutOfMemorySoonThresholds

    def __init__(self, context: Context, thresholds: OutOfMemorySoonThresholds) -> None:
        super().__init__(context, thresholds)
        self._lowest = math.inf
        self._records = 0
        self._high = 0
        self._since = 0
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Count records near the capacity."""
        capacity = self.context.info.gpu_memory_total_mb
        if not capacity or not capacity > 0:
            return ()
        found: Findings = ()
        for row in rows:
            value = row.values.get("gpu_memory")
            if value is not None and 0.0 < value < math.inf:
                found += self._add(row.step, value, capacity)
        return found

    def not_judged(self) -> NotJudged | None:
        """A run without memory or without the device's capacity."""
        return None if self._judged else self.missing()

    def _add(self, step: int, value: float, capacity: float) -> Findings:
        thresholds = self.thresholds
        self._judged = True
        self._records += 1
        # The first steps allocate what the optimizer needs; they are no level to grow from.
        if self._records > 2:
            self._lowest = min(self._lowest, value)
        high = value > thresholds.share * capacity
        grown = value > (1.0 + thresholds.grown) * self._lowest
        if not (high and grown):
            self._high = 0
            return self.resolve(step) if self.current is not None and not high else ()
        if not self._high:
            self._since = step
        self._high += 1
        severity: Severity = "critical" if value > thresholds.critical * capacity else "warning"
        needed = thresholds.records_averaged if self.context.averaged else thresholds.records
        evidence = (
            Evidence(
                what="share of the device's memory in use",
                value=value / capacity,
                threshold=thresholds.share,
                step=step,
            ),
            Evidence(
                what="memory over its lowest level so far",
                value=value / self._lowest,
                threshold=1.0 + thresholds.grown,
            ),
        )
        if self.current is not None:
            if severity == "critical" and self.current.severity != "critical":
                return self.update(severity=severity, evidence=evidence)
            return ()
        if self._high < needed:
            return ()
        return self.open(
            severity,
            self._since,
            evidence,
            series=("gpu_memory",),
            next=(
                NextTest(do="Find the largest batch that fits with room", analysis="batch_size"),
            ),
            fixes=self._fixes(value, capacity),
        )

    def _fixes(self, value: float, capacity: float) -> tuple[str, ...]:
        batch = self.context.info.batch_size
        if not batch or batch < 2:
            return ("recompute activations (torch.utils.checkpoint) in the largest blocks",)
        smaller = max(1, int(batch * self.thresholds.share * capacity / value * 0.9))
        return (
            f"batch size {batch} -> {smaller}, with gradient accumulation for the same total",
            "recompute activations (torch.utils.checkpoint) in the largest blocks",
        )
