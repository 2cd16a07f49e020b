"""Weight decay too high: the weights shrink faster than the gradients build them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.records import Cause, Evidence, LayerStats, NotJudged, Row

MOMENTUM = 10.0
"""What a momentum of 0.9 makes of a gradient that stays: 1 / (1 - 0.9)."""


class WeightDecayThresholds(Thresholds, frozen=True):
    """Thresholds of `weight_decay_too_high`."""

    norm: float = 0.55
    """Median over the layers of the weight norm over its first one (a prototype's value) ..."""
    rate: float = 1e-3
    """... which it fell to by at least this share a step. Recipes decay by 1e-7 to 1e-4 a step
    (learning rate x weight decay), and normalised networks shrink slowly and unharmed."""
    config_rate: float = 5e-3
    """Learning rate x weight decay, where the run says them. It halves weights that no gradient
    builds up within 140 steps, and is enough where weight norms are not recorded, or only after
    the fall; less is not what shrinks them so fast."""
    level: float = 0.5
    """Share of the loss of guessing, or of the first losses, above which the loss is high: shrunken
    weights that fit are none of our business."""
    records: float = 2
    """Layer records in a row."""


class WeightDecayTooHigh(Detector[WeightDecayThresholds]):
    """Weights that have shrunk fast, with a loss that does not get low."""

    id = "weight_decay_too_high"
    title = "Weight decay is too high: the weights shrink away"
    needs = "per-layer weight norms, or the weight decay and the learning rate"
    record = "Recorder(model, optimizer, layers_every=10), weight_decay= where it has no optimizer"
    thresholds_type: ClassVar[type[Thresholds]] = WeightDecayThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: WeightDecayThresholds) -> None:
        super().__init__(context, thresholds)
        self._first_step = -1
        self._held = 0
        self._shrunk_at = 0
        self._by_norms = False
        """Whether the open episode was seen in the weights, rather than in what the run says."""
        self._judged = False

    def on_layers(self, stats: LayerStats) -> Findings:
        """Compare the weight norms with the first ones."""
        layers = self.context.layers
        norms, first = stats.stats.get("weight_norm"), layers.first.get("weight_norm")
        if norms is None or first is None or norms.shape != first.shape:
            return ()
        if self._first_step < 0:
            self._first_step = stats.step
            return ()
        # A bias that began at 0 has no share of it; what is frozen on purpose does not shrink.
        usual = (first > 0) & np.isfinite(norms) & layers.trainable(len(first))
        if not usual.any():
            return ()
        self._judged = True
        share = float(np.median(norms[usual] / first[usual]))
        steps = max(1, stats.step - self._first_step)
        if self.current is not None:
            recovered = self._by_norms and share > 1.2 * self.thresholds.norm
            return self.resolve(stats.step) if recovered else ()
        if not self._shrunken(share, steps):
            self._held = 0
            return ()
        if not self._held:
            self._shrunk_at = stats.step
        self._held += 1
        if self._held < self.thresholds.records:
            return ()
        evidence = Evidence(
            what="median weight norm over its first one",
            value=share,
            threshold=self.thresholds.norm,
            step=stats.step,
        )
        self._by_norms = True
        return self._raise(evidence, self._first_step, stats.step)

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Go by what the run says of itself, whether or not its weights are recorded."""
        context = self.context
        decay, lr = context.info.weight_decay, context.lr
        if decay is None or lr != lr:
            return ()
        self._judged = True
        if lr * decay < self.thresholds.config_rate:
            return ()
        step = rows[-1].step
        high = context.loss.level > self.thresholds.level * self._reference()
        if self.current is not None:
            return () if high else self.resolve(step)
        # By then no gradient, nothing is left of the first weights.
        late = step - context.trend.first_step >= 4.0 / (lr * decay)
        enough = context.loss.count >= (3 if context.averaged else 15)
        if not (high and late and enough) or context.warming_up:
            return ()
        what = "learning rate x weight decay, per step"
        rate = Evidence(what=what, value=lr * decay, threshold=self.thresholds.config_rate)
        self._by_norms = False
        return self._raise(rate, context.trend.first_step, step)

    def not_judged(self) -> NotJudged | None:
        """A run without weight norms of its layers."""
        return None if self._judged else self.missing()

    def _shrunken(self, share: float, steps: int) -> bool:
        thresholds = self.thresholds
        if not share < thresholds.norm:
            return False
        # By the time it is found the weights may be at rest: the rate is that of the whole fall.
        first_fall = self._shrunk_at - self._first_step if self._held else steps
        fast = share < (1.0 - thresholds.rate) ** first_fall
        decay, lr = self.context.info.weight_decay, self.context.lr
        # A rate that is too high blows weights up, which then shrink back.
        if decay is not None and lr == lr:
            # SGD puts the decay into the gradient, of which its momentum makes a multiple.
            sgd = "sgd" in (self.context.info.optimizer or "").lower()
            rate = decay * lr * (MOMENTUM if sgd else 1.0)
            ruled_out = rate < thresholds.config_rate or (
                decay * lr < thresholds.config_rate and "lr_too_high" in self.context.raised
            )
        else:
            ruled_out = self.context.is_open("lr_too_high", "divergence")
        if ruled_out:
            return False
        level = self.context.loss.level
        return fast and level > thresholds.level * self._reference()

    def _reference(self) -> float:
        guessing = guessing_loss(self.context.info)
        return guessing if guessing > 0 else self.context.trend.start

    def _raise(self, measured: Evidence, onset: int, step: int) -> Findings:
        context = self.context
        decay, lr = context.info.weight_decay, context.lr
        causes: tuple[Cause, ...] = ()
        fixes: tuple[str, ...] = ()
        if decay and lr > 0:
            because = f"lr {lr:.3g} x weight decay {decay:g} takes {lr * decay:.2%} of the weights "
            causes = (
                Cause(cause="weight decay too high", because=because + "a step", basis="measured"),
            )
            planned = context.info.planned_steps or 10 * max(1, step)
            # The weights then remember about the whole run (Wang and Aitchison 2024).
            fixes = (f"weight decay {decay:g} -> {min(decay / 10, 1 / (lr * planned)):.2g}",)
        return self.open(
            "warning",
            onset,
            (
                measured,
                Evidence(
                    what="smoothed loss",
                    value=context.loss.level,
                    threshold=self.thresholds.level * self._reference(),
                    step=step,
                ),
            ),
            causes=causes,
            next=(self.next_test("Weights layer by layer", "weights", step),),
            fixes=fixes,
        )
