"""Inputs that are not normalised: the first layer is driven far out of range before any step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.start_scale import INPUT_SPREAD, SATURATED, StartScale, start_scale
from traintop.records import Cause, Evidence, LayerStats, NotJudged, Row


class InputNotNormalizedThresholds(Thresholds, frozen=True):
    """Thresholds of `input_not_normalized`.

    The spread of the first activations that is one is `start_scale.INPUT_SPREAD`. UMLAUT asks for
    inputs in [-1, 1]; a log does not hold the inputs, and a first layer that normalises them
    (batch norm) makes their scale harmless. Any one consequence is needed.
    """

    start_loss: float = 2.0
    """Multiple of the loss of guessing, ln(classes), that the first loss exceeds."""
    start_norm: float = 60.0
    """Norm of the first gradients: those of the first layer grow with the inputs; a prototype's
    value."""
    start_update: float = 0.05
    """Update over weights of a first step: 50 times the usual 1e-3."""
    records: float = 12
    """Records within which the consequence must show."""


class InputNotNormalized(Detector[InputNotNormalizedThresholds]):
    """A first activation far above those behind it in the first layer record, with a bad start."""

    id = "input_not_normalized"
    title = "The inputs are not normalised"
    needs = "statistics of the activations at the first step"
    record = "Recorder(model, optimizer, layers_every=10), from the first step on"
    thresholds_type: ClassVar[type[Thresholds]] = InputNotNormalizedThresholds

    def __init__(self, context: Context, thresholds: InputNotNormalizedThresholds) -> None:
        super().__init__(context, thresholds)
        self._scale: StartScale | None = None
        self._waits = False
        self._norm = 0.0
        self._update = 0.0
        self._step = -1

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Take the first gradient and the first updates."""
        if self._step < 0:
            self._step = rows[0].step
            self._norm = rows[0].values.get("grad_norm", 0.0)
            self._update = rows[0].values.get("update_ratio", 0.0)
        elif self.current is not None:
            loss = self.context.loss
            # Trained away: the run learns as if it had never been.
            if loss.level < (0.5 * loss.chance if loss.chance > 0.0 else 0.1 * loss.first):
                return self.resolve(rows[-1].step)
        if self._waits:
            self._waits = self.context.records < self.thresholds.records
            return self._judge(rows[-1].step)
        return ()

    def on_layers(self, stats: LayerStats) -> Findings:
        """Take the activations of the start."""
        if self._scale is not None:
            return ()
        self._scale = start_scale(self.context)
        if self._scale is None or not self._scale.large_input:
            return ()
        self._waits = True
        return self._judge(stats.step)

    def not_judged(self) -> NotJudged | None:
        """A run without activations of its first step."""
        return None if self._scale is not None else self.missing()

    def _judge(self, step: int) -> Findings:
        thresholds, loss, scale = self.thresholds, self.context.loss, self._scale
        if scale is None:
            return ()
        consequences = [
            ("first loss over that of guessing", loss.first / loss.chance, thresholds.start_loss),
            ("norm of the first gradients", self._norm, thresholds.start_norm),
            ("first update over weights", self._update, thresholds.start_update),
        ]
        if not any(value > limit for _, value, limit in consequences):
            return ()
        self._waits = False
        first = scale.first
        evidence = [
            Evidence(
                what=f"standard deviation of {scale.first_name} at the first step",
                value=first,
                threshold=INPUT_SPREAD,
                step=step,
            )
        ]
        because = f"{scale.first_name} has a standard deviation of {first:.3g} before any training,"
        because += f" the largest behind it has {scale.behind:.3g}"
        if scale.saturated and scale.saturated[0] > SATURATED:
            share = scale.saturated[0]
            what = f"share of saturated outputs of {scale.first_name}"
            evidence.append(Evidence(what=what, value=share, threshold=SATURATED))
            because = f"{share:.0%} of the outputs of {scale.first_name} are saturated before any "
            because += "training, and those behind it are not"
        evidence += [
            Evidence(what=what, value=value, threshold=limit)
            for what, value, limit in consequences
            if value > 0
        ]
        start = max(0, self._step)
        # Unit inputs give a first layer of about 0.5; a layer that is saturated hides them.
        factor = max(10.0, round(first / 0.5, -1))
        seem = f": they seem {factor:.0f} times too large" if first > INPUT_SPREAD else ""
        return self.open(
            "warning",
            start,
            evidence,
            series=("loss/train", "grad_norm"),
            layers=(scale.first_name,),
            causes=(Cause(cause="inputs far from zero mean and unit variance", because=because),),
            next=(
                self.next_test("Check range, mean and variance of the inputs", "data", start),
                self.next_test("Gradient flow through the layers", "gradient_flow", start),
            ),
            fixes=(
                f"standardise the inputs, (x - mean) / std{seem}",
                "or begin the model with a batch or layer norm",
            ),
        )
