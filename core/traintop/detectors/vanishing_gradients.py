"""Vanishing gradients: the first layers get next to nothing of what the last ones get."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import AT_MOST, named
from traintop.detectors.standstill import NoFall, standstill
from traintop.detectors.windows import median
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Severity

NOT_IN_DEPTH = ("bias", "norm", "bn", "ln_", "emb", "wte", "wpe")
"""Parts of names whose gradients differ from the weights' around them by what they are: few
elements, or rows that a batch does not touch."""

SQUASHING = ("sigmoid", "hardsigmoid", "tanh", "softsign")
"""Activations whose derivative is below 1 nearly everywhere."""


class VanishingGradientsThresholds(Thresholds, frozen=True):
    """Thresholds of `vanishing_gradients`.

    SageMaker's and DeepDiagnosis' absolute limit (mean |g| < 1e-7) depends on reduction, loss scale
    and width, and every layer passes it near an optimum; the profile over depth transfers.
    """

    depth_ratio: float = 1e-3
    """RMS gradient of the first quarter of the layers over the last (AutoTrainer's 1e-3, there of
    norms; per element here, so that widths do not matter)."""
    own_ratio: float = 1e-4
    """The same ratio over its own at the start: a fall by four decades, wherever it began."""
    records: float = 3
    """Layer records in a row ..."""
    records_averaged: float = 2
    """... and where they are as far apart as the means over many steps beside them."""
    not_learning: float = 0.93
    """Share of the starting loss that the level must still be at: the consequence (a prototype's
    value). Without it this is advice."""
    after: float = 0.12
    """Share of the planned steps before that can be said ..."""
    after_records: float = 50
    """... and where no plan is known, training records."""
    extreme: float = 0.1
    """Share of the limit below which half of that wait is enough: a network that starts late, but
    starts, was seen at 3 times the limit. A loss that stands still for that time, from wherever, is
    a consequence then too."""
    dead_share: float = 0.6
    """Share of dead units in some ReLU layer from which on they are the fault, and this only their
    symptom."""
    recovered: float = 3.0
    """Multiple of the limit at which the episode is over."""


class VanishingGradients(Detector[VanishingGradientsThresholds]):
    """Judged by depth and by the own past; frozen and unused layers (exactly 0) do not count."""

    id = "vanishing_gradients"
    title = "Gradients vanish in the first layers"
    needs = "per-layer gradient norms of at least 3 weight layers"
    record = "Recorder(model, optimizer, layers_every=10); or `grad_norm` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = VanishingGradientsThresholds

    def __init__(self, context: Context, thresholds: VanishingGradientsThresholds) -> None:
        super().__init__(context, thresholds)
        self._names: tuple[str, ...] = ()
        self._scale: Floats | None = None
        self._chosen: Floats | None = None
        self._start_ratio = math.nan
        self._low = 0
        self._no_fall = NoFall()
        self._onset = 0
        self._judged = False

    def on_layer_names(self, names: LayerNames) -> None:
        """Choose the weight layers, in the order of depth."""
        self._names = names.names
        count = len(names.names)
        numel = np.array(
            names.numel if len(names.numel) == count else [1] * count, dtype=np.float64
        )
        self._scale = 1.0 / np.sqrt(np.maximum(numel, 1.0))
        trains = names.requires_grad if len(names.requires_grad) == count else (True,) * count
        self._chosen = np.array(
            [
                float(trainable and not any(part in name.lower() for part in NOT_IN_DEPTH))
                for name, trainable in zip(names.names, trains, strict=True)
            ]
        )
        self._start_ratio = math.nan

    def on_layers(self, stats: LayerStats) -> Findings:
        """Compare the first with the last layers."""
        norms = stats.stats.get("grad_norm")
        if norms is None or self._scale is None or self._chosen is None:
            return ()
        if norms.shape != self._scale.shape:
            return ()
        rms = norms * self._scale
        # A norm may be so small that it is 0 per element.
        usable = np.isfinite(rms) & (rms > 0) & (self._chosen > 0)
        rms = rms[usable]
        if len(rms) < 3:
            return ()
        self._judged = True
        quarter = max(1, len(rms) // 4)
        front = median(rms[:quarter].tolist())
        back = median(rms[-quarter:].tolist())
        ratio = front / back
        limit = self.thresholds.depth_ratio
        if self._start_ratio == self._start_ratio:
            limit = max(limit, self.thresholds.own_ratio * self._start_ratio)
        else:
            self._start_ratio = ratio
        if ratio > limit:
            self._low = 0
            if self.current is not None and ratio > self.thresholds.recovered * limit:
                return self.resolve(stats.step)
            return ()
        if not self._low:
            self._onset = stats.step
        self._low += 1
        thresholds = self.thresholds
        averaged = self.context.averaged
        if self._low < (thresholds.records_averaged if averaged else thresholds.records):
            return ()
        dead = stats.stats.get("act_dead_frac")
        # Without a fault of its own this stays advice: `dead_units` names the cause.
        symptom = dead is not None and bool((dead > self.thresholds.dead_share).any())
        layers = named(self._names, usable, min(quarter, AT_MOST))
        return self._vanished(stats.step, ratio, limit, front, layers, symptom=symptom)

    def not_judged(self) -> NotJudged | None:
        """A run without per-layer gradient norms, or of fewer than 3 layers."""
        return None if self._judged else self.missing()

    def _vanished(
        self,
        step: int,
        ratio: float,
        limit: float,
        front: float,
        layers: tuple[str, ...],
        *,
        symptom: bool,
    ) -> Findings:
        thresholds = self.thresholds
        extreme = ratio < thresholds.extreme * limit
        share = thresholds.not_learning
        after, records = thresholds.after, thresholds.after_records
        if extreme:
            after, records = 0.5 * after, 0.5 * records
        consequence = standstill(self.context, share, after, records)
        stands = self._no_fall.add(self.context, share, after, records)
        if extreme and not consequence:
            consequence = stands
        if symptom:
            consequence = ()
        severity: Severity = "warning" if consequence else "info"
        if self.current is not None:
            worse = self.current.severity == "info" and severity != "info"
            if worse and self.context.explanation(self.id) is None:
                evidence = (*self.current.evidence[:2], *consequence)
                return self.update(severity=severity, evidence=evidence)
            return ()
        return self.open(
            severity,
            self._onset,
            (
                Evidence(
                    what="RMS gradient of the first layers over that of the last",
                    value=ratio,
                    threshold=limit,
                    step=step,
                ),
                Evidence(what="RMS gradient of the first layers", value=front, step=step),
                *consequence,
            ),
            series=("grad_norm",),
            layers=layers,
            causes=self._causes(ratio),
            next=(
                self.next_test("Gradient flow through the layers", "gradient_flow", step),
                self.next_test("Saturated and dead units", "dead_neurons", step),
            ),
            fixes=self._fixes(),
        )

    def _causes(self, ratio: float) -> tuple[Cause, ...]:
        names = self.context.layers.names
        depth = int(np.count_nonzero(self._chosen)) if self._chosen is not None else 0
        because = f"the first layers get {ratio:.1e} of the gradient of the last, per element"
        deep = Cause(cause=f"{depth} layers without shortcuts or normalisation", because=because)
        bounded = [kind for kind in names.act_kinds if kind.lower().startswith(SQUASHING)]
        if not bounded:
            shrunk = Cause(cause="small initialisation, or weights that shrink", because=because)
            return (deep, shrunk)
        # The derivative of a sigmoid is 1/4 at most (Bengio 1994; Glorot and Bengio 2010).
        most = f"; the derivative of a sigmoid is at most {0.25 ** len(bounded):.0e} in all"
        because = f"{len(bounded)} of {len(names.act_kinds)} activations are {bounded[0]}"
        because += most if bounded[0].lower() == "sigmoid" else ""
        squashing = Cause(
            cause=f"{bounded[0]} activations in depth", because=because, basis="measured"
        )
        return (squashing, deep)

    def _fixes(self) -> tuple[str, ...]:
        kinds = self.context.layers.names.act_kinds
        bounded = [kind for kind in kinds if kind.lower().startswith(SQUASHING)]
        fixes = ["add shortcuts (x + f(x)) or a LayerNorm or BatchNorm before each activation"]
        if bounded:
            fixes.insert(0, f"replace {bounded[0]} by ReLU or GELU, with kaiming_normal_ weights")
        else:
            fixes.append("initialise with kaiming_normal_ (ReLU) or xavier_uniform_ (tanh) weights")
        return tuple(fixes)
