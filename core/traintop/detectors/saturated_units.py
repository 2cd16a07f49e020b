"""Saturated units: tanh and sigmoid at the flat ends of their range, which pass no gradient."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import Mask, named
from traintop.detectors.standstill import standstill
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Severity

GATES = ("gate", "lstm", "gru", "attn", "attention", "se.", "glu")
"""Parts of names of what saturates on purpose: gates that open and close, attention weights."""

BOUNDED = ("tanh", "sigmoid")


class SaturatedUnitsThresholds(Thresholds, frozen=True):
    """Thresholds of `saturated_units`."""

    share: float = 0.5
    """Share of a layer's outputs at a bound of their range (DeepDiagnosis: 50 % of a layer; it
    looks at inputs beyond 5, where tanh and sigmoid are within 1 % of the bound)."""
    records: float = 3
    """Layer records in a row."""
    not_learning: float = 0.93
    """Share of the starting loss that the level must still be at: the consequence, as of
    `vanishing_gradients`. Without it this is advice: many networks learn so."""
    after: float = 0.12
    """After this share of the planned steps ..."""
    after_records: float = 50
    """... or these many records where no plan is known."""
    recovered: float = 0.4
    """Share below which the episode is over."""


class SaturatedUnits(Detector[SaturatedUnitsThresholds]):
    """Judged on tanh and sigmoid layers within the network.

    An output layer saturates when it is sure, and gates do by design.
    """

    id = "saturated_units"
    title = "Saturated units"
    needs = "per-layer share of saturated outputs of tanh and sigmoid layers"
    record = "Recorder(model, optimizer, layers_every=10); or `act_sat_frac` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = SaturatedUnitsThresholds

    def __init__(self, context: Context, thresholds: SaturatedUnitsThresholds) -> None:
        super().__init__(context, thresholds)
        self._names: tuple[str, ...] = ()
        self._chosen: Mask = np.zeros(0, bool)
        self._runs: Floats = np.zeros(0)
        self._onset = -1
        self._has_none = False
        self._judged = False

    def on_layer_names(self, names: LayerNames) -> None:
        """Choose the tanh and sigmoid layers."""
        self._names = names.act_names
        kinds = names.act_kinds
        self._runs = np.zeros(len(kinds))
        self._onset = -1
        self._chosen = np.zeros(len(kinds), bool)
        if len(kinds) != len(names.act_names):
            return
        for index, (name, kind) in enumerate(zip(names.act_names, kinds, strict=True)):
            bounded = kind.lower().startswith(BOUNDED)
            gate = any(part in name.lower() for part in GATES)
            # A sigmoid among other activations gates, and the last one is the output.
            sigmoid = kind.lower() == "sigmoid"
            other = sigmoid and (set(kinds) != {kind} or index == len(kinds) - 1)
            self._chosen[index] = bounded and not gate and not other
        self._has_none = bool(kinds) and not self._chosen.any()

    def on_layers(self, stats: LayerStats) -> Findings:
        """Count the records in a row for which each layer was saturated."""
        shares = stats.stats.get("act_sat_frac")
        if shares is None or shares.shape != self._chosen.shape or not self._chosen.any():
            return ()
        shares = np.where(self._chosen, shares, np.nan)
        if np.isnan(shares).all():
            return ()
        self._judged = True
        thresholds = self.thresholds
        high = shares > thresholds.share
        self._runs = np.where(high, self._runs + 1, 0)
        if not high.any():
            self._onset = -1
        elif self._onset < 0:
            self._onset = stats.step
        sure = self._runs >= thresholds.records
        if sure.any():
            return self._saturated(stats.step, shares, sure)
        if self.current is not None and not (shares > thresholds.recovered).any():
            return self.resolve(stats.step)
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without statistics of activations; one without such layers has nothing to judge."""
        return None if self._judged or self._has_none else self.missing()

    def _saturated(self, step: int, shares: Floats, sure: Mask) -> Findings:
        thresholds = self.thresholds
        consequence = standstill(
            self.context,
            thresholds.not_learning,
            thresholds.after,
            thresholds.after_records,
            symptoms=("not_learning",),
        )
        severity: Severity = "warning" if consequence else "info"
        if self.current is not None:
            worse = self.current.severity == "info" and severity != "info"
            if worse and self.context.explanation(self.id) is None:
                evidence = (*self.current.evidence, *consequence)
                return self.update(severity=severity, evidence=evidence)
            return ()
        worst = int(np.nanargmax(np.where(sure, shares, np.nan)))
        share, name = float(shares[worst]), self._names[worst]
        evidence = (
            Evidence(
                what=f"share of the outputs of {name} at a bound",
                value=share,
                threshold=thresholds.share,
                step=step,
            ),
            *consequence,
        )
        return self.open(
            severity,
            self._onset,
            evidence,
            title=f"{share:.0%} of the outputs of {name} are saturated",
            series=("act_sat_frac",),
            layers=named(self._names, sure),
            causes=self._causes(),
            next=(self.next_test("Saturated units over the whole data", "dead_neurons", step),),
            fixes=(
                f"normalise what goes into {name}: a LayerNorm or BatchNorm before it",
                "scale inputs to mean 0 and standard deviation 1, initialise with xavier_uniform_",
            ),
        )

    def _causes(self) -> tuple[Cause, ...]:
        jump = self.context.lr_rise(self._onset, within=round(max(100.0, 50 * self.context.stride)))
        if jump is not None:
            return (jump,)
        because = f"saturated since step {self._onset}, with no jump of the lr before"
        return (Cause(cause="weights or inputs that are too large", because=because),)
