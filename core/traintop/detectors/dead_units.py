"""Dead units: ReLUs that no input activates, which get no gradient and never come back."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import Mask, named
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Severity


class DeadUnitsThresholds(Thresholds, frozen=True):
    """Thresholds of `dead_units`."""

    share: float = 0.6
    """Share of a layer's units that no sample of the batch activates. SageMaker says 50 % of units
    active on less than 1 % of inputs, AutoTrainer and DeepDiagnosis 70 % zeros; healthy small
    networks on digits, whose corner pixels are always 0, reach 48 %."""
    records: float = 3
    """Layer records in a row: a unit is dead on all inputs, and one small batch may miss it."""
    nearly_all: float = 0.97
    """Share from which on the layer passes next to nothing ..."""
    records_nearly_all: float = 2
    """... and records in a row that are enough then."""
    samples: float = 150
    """Samples that those records must hold together, so that small batches need more of them."""
    most_records: float = 30
    """But never more records than these."""
    recovered: float = 0.5
    """Share below which the episode is over."""


class DeadUnits(Detector[DeadUnitsThresholds]):
    """Judged on ReLU layers only, by the share of units that were 0 for every sample.

    The share of zeros says nothing: half of a healthy ReLU layer is 0 for any one sample. GELU and
    SiLU are never exactly 0.
    """

    id = "dead_units"
    title = "Dead ReLU units"
    needs = "per-layer share of dead units of ReLU layers"
    thresholds_type: ClassVar[type[Thresholds]] = DeadUnitsThresholds

    def __init__(self, context: Context, thresholds: DeadUnitsThresholds) -> None:
        super().__init__(context, thresholds)
        self._names: tuple[str, ...] = ()
        self._relu: Floats | None = None
        self._runs: Floats | None = None
        self._runs_nearly_all: Floats | None = None
        self._onset = -1
        self._judged = False

    def on_layer_names(self, names: LayerNames) -> None:
        """Choose the ReLU layers."""
        self._names = names.act_names
        kinds = names.act_kinds
        if len(kinds) != len(names.act_names):
            self._relu = None
            return
        self._relu = np.array([float("relu" in kind.lower()) for kind in kinds])
        self._runs = np.zeros(len(kinds))
        self._runs_nearly_all = np.zeros(len(kinds))

    def on_layers(self, stats: LayerStats) -> Findings:
        """Count the records in a row for which each layer was dead."""
        shares = stats.stats.get("act_dead_frac")
        if shares is None or self._relu is None or shares.shape != self._relu.shape:
            return ()
        if self._runs is None or self._runs_nearly_all is None or not (self._relu > 0).any():
            return ()
        thresholds = self.thresholds
        shares = np.where(self._relu > 0, shares, np.nan)
        if np.isnan(shares).all():
            return ()
        self._judged = True
        # Comparisons with NaN, a layer that was not measured, are false.
        dead = shares > thresholds.share
        if dead.any() and self._onset < 0:
            self._onset = stats.step
        self._runs = np.where(dead, self._runs + 1, 0)
        self._runs_nearly_all = np.where(
            shares > thresholds.nearly_all, self._runs_nearly_all + 1, 0
        )
        sure = (self._runs >= self._needed(thresholds.records)) | (
            self._runs_nearly_all >= self._needed(thresholds.records_nearly_all)
        )
        if sure.any():
            return self._dead(stats.step, shares, sure)
        if not dead.any():
            self._onset = -1
        if self.current is not None and not (shares > thresholds.recovered).any():
            return self.resolve(stats.step)
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without activation statistics of ReLU layers."""
        return None if self._judged else self.missing()

    def _needed(self, records: float) -> float:
        batch = self.context.info.batch_size
        if not batch:
            return records
        enough = math.ceil(self.thresholds.samples / batch)
        # What is nearly all dead needs fewer records here too.
        return min(
            max(records, enough - (self.thresholds.records - records)), self.thresholds.most_records
        )

    def _dead(self, step: int, shares: Floats, sure: Mask) -> Findings:
        layers = named(self._names, sure)
        worst = int(np.nanargmax(np.where(sure, shares, np.nan)))
        share = float(shares[worst])
        worst_name = self._names[worst]
        severity: Severity = "critical" if share > self.thresholds.nearly_all else "warning"
        title = f"{share:.0%} of the units of {worst_name} are dead"
        evidence = (
            Evidence(
                what=f"share of units in {worst_name} that no sample activates",
                value=share,
                threshold=self.thresholds.share,
                step=step,
            ),
            Evidence(what="layers with dead units", value=float(sure.sum())),
        )
        if self.current is not None:
            if layers == self.current.layers and severity in ("warning", self.current.severity):
                return ()
            return self.update(severity=severity, title=title, layers=layers, evidence=evidence)
        cause = self.context.lr_rise(
            self._onset, within=round(max(100.0, 50 * self.context.stride))
        )
        return self.open(
            severity,
            self._onset,
            evidence,
            title=title,
            layers=layers,
            causes=(self._cause_of_start(),) if cause is None else (cause,),
            next=(self.next_test("Dead-neuron scan over the whole data", "dead_neurons", step),),
        )

    def _cause_of_start(self) -> Cause:
        because = f"the units were dead at step {self._onset}, with no jump of the lr before"
        return Cause(
            cause="initialisation (biases), input scale or a learning rate too high",
            because=because,
        )
