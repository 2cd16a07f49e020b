"""Dead units: ReLUs that no input activates, which get no gradient and never come back.

GELU and SiLU are never exactly 0, but far below 0 they pass next to nothing either; our recorder
counts them as dead within 1e-5 of 0 (TheDeepChecker's bound). Of those only a layer that is nearly
all dead is judged.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import Mask, named
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Severity

SMOOTH = ("gelu", "silu")

POSITIONS = 16
"""Positions that a sequence has at least: a unit of a language model sees each of them."""


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
    """Samples that those records must hold together, so that small batches need more of them: of
    units that fire on 1 % of inputs (SageMaker's limit), 78 % fire on none of 25 samples, 22 % on
    none of 150."""
    samples_nearly_all: float = 32
    """The same for a layer that is nearly all dead: with 97 % of units silent on 32 samples, they
    fire on less than 0.1 % of inputs."""
    most_records: float = 30
    """But never more records than these."""
    recovered: float = 0.5
    """Share below which the episode is over."""


class DeadUnits(Detector[DeadUnitsThresholds]):
    """Judged on ReLU layers only, by the share of units that were 0 for every sample.

    The share of zeros says nothing: half of a healthy ReLU layer is 0 for any one sample.
    """

    id = "dead_units"
    title = "Dead ReLU units"
    needs = "per-layer share of dead units of ReLU layers"
    record = "Recorder(model, optimizer, layers_every=10); or `act_dead_frac` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = DeadUnitsThresholds

    def __init__(self, context: Context, thresholds: DeadUnitsThresholds) -> None:
        super().__init__(context, thresholds)
        self._names: tuple[str, ...] = ()
        self._relu: Mask = np.zeros(0, bool)
        self._smooth: Mask = np.zeros(0, bool)
        self._runs: Floats = np.zeros(0)
        self._runs_nearly_all: Floats = np.zeros(0)
        self._onset = -1
        self._judged = False
        self._has_none = False

    def on_layer_names(self, names: LayerNames) -> None:
        """Choose the ReLU layers, and those of its smooth relatives."""
        self._names = names.act_names
        kinds = names.act_kinds if len(names.act_kinds) == len(names.act_names) else ()
        self._relu = np.array(["relu" in kind.lower() for kind in kinds], bool)
        self._smooth = np.array([kind.lower() in SMOOTH for kind in kinds], bool)
        self._runs = np.zeros(len(kinds))
        self._runs_nearly_all = np.zeros(len(kinds))
        self._onset = -1
        self._has_none = bool(kinds) and not (self._relu | self._smooth).any()

    def on_layers(self, stats: LayerStats) -> Findings:
        """Count the records in a row for which each layer was dead."""
        shares = stats.stats.get("act_dead_frac")
        if shares is None or shares.shape != self._relu.shape or self._has_none:
            return ()
        thresholds = self.thresholds
        shares = np.where(self._relu | self._smooth, shares, np.nan)
        if np.isnan(shares).all():
            return ()
        self._judged = True
        # Comparisons with NaN, a layer that was not measured, are false.
        nearly_all = shares > thresholds.nearly_all
        dead = (self._relu & (shares > thresholds.share)) | nearly_all
        if dead.any() and self._onset < 0:
            self._onset = stats.step
        self._runs = np.where(dead & self._relu, self._runs + 1, 0)
        self._runs_nearly_all = np.where(nearly_all, self._runs_nearly_all + 1, 0)
        sure = (self._runs >= self._needed(thresholds.records, thresholds.samples)) | (
            self._runs_nearly_all
            >= self._needed(thresholds.records_nearly_all, thresholds.samples_nearly_all)
        )
        if sure.any():
            return self._dead(stats.step, shares, sure)
        if not dead.any():
            self._onset = -1
        if self.current is not None and not (shares > thresholds.recovered).any():
            self._onset = -1
            return self.resolve(stats.step)
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without statistics of activations; one without ReLUs has nothing to judge."""
        return None if self._judged or self._has_none else self.missing()

    def _needed(self, records: float, samples: float) -> float:
        info = self.context.info
        batch = info.batch_size
        if not batch:
            return records
        if "language" in (info.task or "").lower():
            batch *= POSITIONS
        return min(max(records, math.ceil(samples / batch)), self.thresholds.most_records)

    def _dead(self, step: int, shares: Floats, sure: Mask) -> Findings:
        layers = named(self._names, sure)
        worst = int(np.nanargmax(np.where(sure, shares, np.nan)))
        share = float(shares[worst])
        worst_name = self._names[worst]
        severity: Severity = "critical" if share > self.thresholds.nearly_all else "warning"
        title = f"{share:.0%} of the units of {worst_name} are dead"
        limits = self.thresholds
        evidence = (
            Evidence(
                what=f"share of units in {worst_name} that no sample activates",
                value=share,
                threshold=limits.share if self._relu[worst] else limits.nearly_all,
                step=step,
            ),
            Evidence(what="layers with dead units", value=float(sure.sum())),
        )
        if self.current is not None:
            if self.current.severity != "warning":
                severity = self.current.severity  # It does not become better by more layers.
            if layers == self.current.layers and severity == self.current.severity:
                return ()
            return self.update(severity=severity, title=title, layers=layers, evidence=evidence)
        context = self.context
        cause = context.lr_rise(self._onset, within=round(max(100.0, 50 * context.stride)))
        return self.open(
            severity,
            self._onset,
            evidence,
            title=title,
            series=("act_dead_frac",),
            layers=layers,
            causes=self._causes() if cause is None else (cause,),
            next=(self.next_test("Dead-neuron scan over the whole data", "dead_neurons", step),),
            fixes=self._fixes(layers),
        )

    def _causes(self) -> tuple[Cause, ...]:
        layers = self.context.layers
        first = layers.first.get("act_dead_frac")
        if first is not None and (first[self._relu] > self.thresholds.share).any():
            cause = "initialisation: biases far below 0, or inputs of one sign"
            because = "they were dead in the first record, before training moved them"
            return (Cause(cause=cause, because=because, basis="measured"),)
        because = f"they died by step {self._onset}, with no jump of the lr before"
        return (
            Cause(cause="learning rate too high: one large update of the biases", because=because),
            Cause(cause="input scale, or a bias that drifts below 0", because=because),
        )

    def _fixes(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        context = self.context
        jump = next((each for each in reversed(context.lr_jumps) if each.after > each.before), None)
        fixes = [f"LeakyReLU(0.01) or GELU instead of ReLU at {', '.join(layers)}"]
        if jump is not None and jump.before > 0:
            words = f"lr {jump.after:.3g} -> {jump.before:.3g}, as before step {jump.step}, from a "
            fixes.insert(0, words + "checkpoint before it: dead units do not come back")
        elif self._onset <= context.stride:
            fixes.insert(0, "biases at 0 and kaiming_normal_ weights, then begin anew")
        elif context.lr > 0:
            fixes.append(f"lr {context.lr:.3g} -> {context.lr / 3:.2g} from a checkpoint before")
        return tuple(fixes)
