"""Bad initialisation: activations that grow or vanish from layer to layer before any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.start_scale import (
    GAIN,
    GROWTH,
    StartScale,
    initialisation_fixes,
    start_scale,
)
from traintop.records import Cause, Evidence, LayerStats, NotJudged, Row


class BadInitializationThresholds(Thresholds, frozen=True):
    """Thresholds of `bad_initialization`.

    The growth of activations that is one is `start_scale.GROWTH`. SageMaker's variance ratio of 10
    is passed by the defaults of PyTorch; only with a consequence is it a finding.
    """

    start_loss: float = 2.0
    """Multiple of the loss of guessing, ln(classes), that the first losses exceed: certain of
    what they can not know. Class weights and auxiliary losses stay below."""
    start_norm: float = 60.0
    """Norm of the first gradients that is a consequence too; a prototype's value."""
    after: float = 3
    """Records that are waited for: `exploding_gradients` needs two."""
    shrinks: float = 1e-2
    """Smallest over first spread of activations below which the signal is lost on its way ..."""
    shrinks_after: float = 100
    """... said if the loss has not moved within this many records."""
    still: float = 0.97
    """Share of the starting loss above which it has not moved."""


class BadInitialization(Detector[BadInitializationThresholds]):
    """Activations of the first layer record out of proportion, and a start that suffers from it."""

    id = "bad_initialization"
    title = "Bad initialisation"
    needs = "statistics of the activations at the first step"
    record = "Recorder(model, optimizer, layers_every=10, num_classes=...), from the first step on"
    thresholds_type: ClassVar[type[Thresholds]] = BadInitializationThresholds

    def __init__(self, context: Context, thresholds: BadInitializationThresholds) -> None:
        super().__init__(context, thresholds)
        self._scale: StartScale | None = None
        self._judged = False
        self._over = False
        self._norm = 0.0
        self._step = 0

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Wait for the consequence of what the first layer record said."""
        if self._over:
            return ()
        if self._norm == 0.0:
            self._norm = rows[0].values.get("grad_norm", 0.0)
            self._step = rows[0].step
        context = self.context
        if self.current is not None:
            loss = context.loss
            # It has been trained away.
            if loss.level < 0.5 * loss.first and not context.loss.level > loss.chance:
                self._over = True
                return self.resolve(rows[-1].step)
            return ()
        scale = self._scale
        if scale is None or context.records > 2 * self.thresholds.shrinks_after:
            self._over = scale is not None
            return ()
        # Gradients that explode at once are the finding then, with this as their measured cause.
        if scale.grows and context.records >= self.thresholds.after:
            self._over = True
            return self._grows(scale)
        if context.records > self.thresholds.shrinks_after:
            return self._shrinks(scale)
        return ()

    def on_layers(self, stats: LayerStats) -> Findings:
        """Take the activations of the start."""
        if self._scale is None and not self._judged:
            self._judged = "act_std" in stats.stats
            self._scale = start_scale(self.context)
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run without activations of its first step."""
        return None if self._scale is not None else self.missing()

    def _grows(self, scale: StartScale) -> Findings:
        loss, thresholds = self.context.loss, self.thresholds
        off = loss.first > thresholds.start_loss * loss.chance
        large = self._norm > thresholds.start_norm
        if not (off or large):
            return ()
        self._over = False
        what = "growth of the activations' standard deviation through the layers"
        evidence = [Evidence(what=what, value=scale.growth, threshold=GROWTH, step=self._step)]
        if scale.gain == scale.gain:
            what = "median gain of the weights"
            evidence.append(Evidence(what=what, value=scale.gain, threshold=GAIN, step=self._step))
        if self._norm > 0.0:
            what = "norm of the first gradients"
            limit = thresholds.start_norm
            evidence.append(Evidence(what=what, value=self._norm, threshold=limit))
        if loss.chance > 0.0:
            what = "first loss over that of guessing"
            ratio, limit = loss.first / loss.chance, thresholds.start_loss
            evidence.append(Evidence(what=what, value=ratio, threshold=limit))
        layers = (scale.first_name, scale.last_name)
        return self._open("Initial weights are too large", evidence, scale.words, scale, layers)

    def _shrinks(self, scale: StartScale) -> Findings:
        loss, thresholds = self.context.loss, self.thresholds
        share = scale.least / scale.first
        self._over = True
        if share > thresholds.shrinks or not loss.level > thresholds.still * loss.start:
            return ()
        self._over = False
        because = f"activations shrink {1 / share:.3g}x from {scale.first_name} to "
        because += scale.least_name
        evidence = [
            Evidence(
                what="smallest over first standard deviation of the activations",
                value=share,
                threshold=thresholds.shrinks,
                step=self._step,
            ),
            Evidence(
                what="smoothed loss over its start",
                value=loss.level / loss.start,
                threshold=thresholds.still,
                step=self.context.last_step,
            ),
        ]
        layers = (scale.first_name, scale.least_name)
        return self._open("Initial weights are too small", evidence, because, scale, layers)

    def _open(
        self,
        title: str,
        evidence: list[Evidence],
        because: str,
        scale: StartScale,
        layers: tuple[str, ...],
    ) -> Findings:
        return self.open(
            "warning",
            self._step,
            evidence,
            title=title,
            series=("loss/train", "grad_norm"),
            layers=tuple(dict.fromkeys(layers)),
            causes=(
                Cause(
                    cause="variance of the initial weights off", because=because, basis="measured"
                ),
            ),
            next=(
                self.next_test("Weights layer by layer", "weights", self._step),
                self.next_test("Gradient flow through the layers", "gradient_flow", self._step),
            ),
            fixes=initialisation_fixes(scale, self.context),
        )
