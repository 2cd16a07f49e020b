"""Exploding gradients: norms far above what this run is used to, with a consequence in the loss."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import named
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.start_scale import StartScale, cause_of_start, start_scale
from traintop.detectors.windows import RunningMedian
from traintop.records import (
    Cause,
    Evidence,
    Floats,
    LayerNames,
    LayerStats,
    NotJudged,
    Row,
    Severity,
)

LARGE_UPDATE = 0.02
"""Median update over weights that tells of a learning rate too high; a prototype's value."""

FIRST_NORMS = 6
"""Norms of a run that are those of its first gradients."""

LAYER_MEMORY = 0.1
"""Weight of the newest record in a layer's usual (geometric mean) gradient norm."""


class ExplodingGradientsThresholds(Thresholds, frozen=True):
    """Thresholds of `exploding_gradients`.

    Absolute limits (SageMaker, TheDeepChecker's 1e6) depend on reduction, loss scale and width and
    do not transfer; the run's own median does.
    """

    ratio: float = 10.0
    """Multiple of the median of the past (runmedic)."""
    window: float = 33
    """Samples in that median, one of every four accepted records."""
    growth: float = 10.0
    """Multiple of the lowest such median so far, for a growth too slow for `ratio`."""
    after: float = 0.05
    """Share of the planned steps that are not judged (runmedic): first gradients are large ..."""
    least_records: float = 20
    """... and at least these many records."""
    start_norm: float = 60.0
    """Norm of the first gradients that, with `start_loss`, is a bad start; a prototype's value."""
    start_norm_measured: float = 20.0
    """The same where the first layer record shows weights or activations that are too large."""
    start_loss: float = 2.0
    """Multiple of the loss of guessing, ln(classes), that the first losses must exceed for it, or
    activations that grow from layer to layer (`start_scale`). Class weights and auxiliary losses
    stay below."""
    clipped_share: float = 0.9
    """Share of equal norms in the window from which on they are taken for clipped ones."""
    quiet: float = 50
    """Records without an explosion that end the episode."""


class ExplodingGradients(Detector[ExplodingGradientsThresholds]):
    """A norm above its past alone is advice (`info`); with a loss that suffers, it is a finding."""

    id = "exploding_gradients"
    title = "Gradients explode"
    needs = "gradient norm before clipping"
    record = (
        "Recorder(model, optimizer) writes `grad_norm` from before clipping; or write the norm "
    )
    record += "that the clipping function returns"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = ExplodingGradientsThresholds

    def __init__(self, context: Context, thresholds: ExplodingGradientsThresholds) -> None:
        super().__init__(context, thresholds)
        self._window = RunningMedian(int(thresholds.window))
        self._usual = math.inf
        self._limit = math.inf
        self._lowest = math.inf
        self._rescaled = 0
        self._count = 0
        self._exploded = 0
        self._quiet = 0
        self._peak = (0.0, 0)
        self._clipped = False
        self._starts: deque[float] = deque(maxlen=FIRST_NORMS)
        self._scale: StartScale | None = None
        self._names: tuple[str, ...] = ()
        self._layer_usual: Floats | None = None
        self._layers: tuple[str, ...] = ()
        self._train_norm = False

    def on_train(self, row: Row) -> Findings:
        """Judge a gradient norm by the past."""
        norm = row.values.get("grad_norm")
        if norm is None:
            return ()
        count = self._count
        # Three of four records, in a run that is fine, need no more than this.
        if count & 3 and count >= 20 and norm <= self._limit and self.current is None:
            self._count = count + 1
            return ()
        self._train_norm = True
        if self.current is not None and self.current.severity == "info":
            loss = row.values.get("loss/train", 0.0)
            if not -ABSURD < loss < ABSURD:
                return self._escalate("critical")
        return self._judge(row.step, norm)

    def on_layer_names(self, names: LayerNames) -> None:
        """Remember the names of the layers."""
        self._names = names.names
        self._layer_usual = None

    def on_layers(self, stats: LayerStats) -> Findings:
        """Note which layers exceed their own past; stand in for a norm that is not logged."""
        norms = stats.stats.get("grad_norm")
        if norms is None:
            return ()
        usable = np.isfinite(norms) & (norms > 0)
        usual = self._layer_usual
        if usual is None or usual.shape != norms.shape:
            self._layer_usual = np.where(usable, norms, np.nan)
        else:
            beyond = usable & (norms / self.thresholds.ratio > usual)
            self._layers = named(self._names, beyond)
            calm = usable & ~beyond
            usual[calm] = np.exp(
                (1 - LAYER_MEMORY) * np.log(np.where(usual[calm] > 0, usual[calm], norms[calm]))
                + LAYER_MEMORY * np.log(norms[calm])
            )
        if self.current is not None and self._layers and not self.current.layers:
            return self.update(layers=self._layers)
        if self._train_norm or not usable.any():
            return ()
        return self._judge(stats.step, math.hypot(*norms[usable].tolist()))

    def not_judged(self) -> NotJudged | None:
        """A run without gradient norms, or with clipped ones."""
        if self._clipped:
            needs = f"{self.needs}: the norm logged sits at {self._usual:.3g}, as after clipping"
            return NotJudged(id=self.id, needs=needs)
        return None if self._count else self.missing()

    def _judge(self, step: int, norm: float) -> Findings:
        # False for NaN and infinities too: those are for `nan_inf`, and enter no median.
        if not norm <= self._limit:
            return self._beyond(step, norm) if norm < math.inf else ()
        if norm != norm:
            return ()
        count = self._count
        self._count = count + 1
        if count & 3 == 0 or count < 20:
            self._accept(norm)
            if self._lowest * self.thresholds.growth < self._usual and self.context.loss.harmed:
                return self._grown(step)
        if self.current is not None:
            return self._below(step)
        if count < FIRST_NORMS:
            return self._judge_start(step, norm)
        return ()

    def _accept(self, norm: float) -> None:
        context = self.context
        thresholds = self.thresholds
        window = self._window
        if context.rescaled != self._rescaled:
            self._rescaled = context.rescaled
            window.clear()
            self._count = 1
            self._lowest = math.inf
        self._usual = usual = window.add(norm)
        ready = max(thresholds.least_records, thresholds.after * self._planned_records())
        if self._count >= ready and not context.warming_up:
            self._limit = thresholds.ratio * usual if usual > 0 else math.inf
            self._lowest = min(self._lowest, usual)
            # Every eighth sample, samples being every fourth record.
            if self._count & 31 == 1:
                self._clipped = self._is_clipped()
        else:
            self._limit = math.inf

    def _planned_records(self) -> float:
        return (self.context.info.planned_steps or 0) / self.context.stride

    def _is_clipped(self) -> bool:
        """Whether the norm sits at one value, which a norm does only after clipping."""
        values = self._window.values()
        top = self._window.maximum
        return sum(
            value >= 0.9999 * top for value in values
        ) >= self.thresholds.clipped_share * len(values)

    def _judge_start(self, step: int, norm: float) -> Findings:
        """First gradients and first loss both far off: an initialisation or an input scale."""
        context = self.context
        thresholds = self.thresholds
        first, chance = context.loss.first, context.loss.chance
        batch = context.info.batch_size
        # A loss that is summed over the batch starts at batch x guessing, and that is no fault.
        summed = batch is not None and batch > 0 and 0.7 < first / (batch * chance) < 1.4
        self._scale = scale = self._scale or start_scale(context)
        grows = scale is not None and scale.grows
        least = thresholds.start_norm_measured if grows else thresholds.start_norm
        if norm > least and not summed:
            self._starts.append(norm)
        if len(self._starts) < 2 or not (grows or first > thresholds.start_loss * chance):
            return ()
        self._peak = (max(self._starts), step)
        self._exploded = len(self._starts)
        evidence = [
            Evidence(
                what="norm of the first gradients",
                value=self._peak[0],
                threshold=least,
                step=step,
            )
        ]
        if chance > 0.0:
            what = "first loss over that of guessing"
            limit = thresholds.start_loss
            evidence.append(Evidence(what=what, value=first / chance, threshold=limit))
        cause, fixes = cause_of_start(scale, first, context)
        tests = [
            self.next_test("Check range and normalisation of the inputs", "data", step),
            self.next_test("Gradient flow through the layers", "gradient_flow", step),
        ]
        if grows:
            tests.reverse()  # It is in the layers.
        return self.open(
            "warning",
            max(0, step - 1),
            evidence,
            title="Gradients explode from the first step",
            series=("grad_norm",),
            layers=self._layers,
            causes=(cause,),
            fixes=fixes,
            next=tests,
        )

    def _beyond(self, step: int, norm: float) -> Findings:
        if self.context.rescaled != self._rescaled:
            # The past that it is beyond is one of another scale.
            self._accept(norm)
            return ()
        self._count += 1
        self._exploded += 1
        self._quiet = 0
        if norm > self._peak[0]:
            self._peak = (norm, step)
        # A new level: what is beyond for long enters the median after all, one of four as ever.
        if self._exploded & 3 == 0:
            self._accept(norm)
        harmed = self.context.loss.harmed
        if self.current is None:
            return self._open(step, harmed)
        if harmed and self.current.severity == "info":
            return self._escalate(self._severity())
        if self._exploded & (self._exploded - 1) == 0:
            return self.update(evidence=self._evidence())
        return ()

    def _grown(self, step: int) -> Findings:
        """The norm has grown too slowly for its median to be exceeded, and the loss suffers."""
        if self.current is not None and self.current.severity != "info":
            self._quiet = 0
            return ()
        self._exploded += 1
        self._peak = max(self._peak, (self._usual, step))
        growth = Evidence(
            what="median gradient norm over its lowest",
            value=self._usual / self._lowest,
            threshold=self.thresholds.growth,
            step=step,
        )
        if self.current is not None:
            self._escalate(self._severity())
        else:
            self._open(step, harmed=True)
        lowest = Evidence(what="lowest median gradient norm", value=self._lowest)
        return self.update(evidence=(growth, lowest, *self._evidence()))

    def _open(self, step: int, harmed: bool) -> Findings:
        causes, fixes = self._causes(step)
        return self.open(
            self._severity() if harmed else "info",
            step,
            self._evidence(),
            title=self.title if harmed else "Gradient norm far above its past",
            series=("grad_norm",),
            layers=self._layers,
            causes=causes,
            next=(
                self.next_test("Gradient flow through the layers", "gradient_flow", step),
                self.next_test("LR range test", "lr_find", step),
            ),
            fixes=fixes,
        )

    def _causes(self, step: int) -> tuple[tuple[Cause, ...], tuple[str, ...]]:
        context = self.context
        usual = self._usual_norm()
        causes: list[Cause] = []
        fixes: list[str] = []
        within = round(max(50.0, 20 * context.stride))
        rise, jump = context.lr_rise(step, within), context.lr_jump_up(step, within)
        if rise is not None and jump is not None:
            causes.append(rise)
            fixes.append(f"lr {jump.after:.3g} -> {jump.before:.3g}, as before step {jump.step}")
        update = context.updates.median
        if update > LARGE_UPDATE:
            because = (
                f"the median step moved the weights by {update:.2g} of their norm, 1e-3 is usual"
            )
            causes.append(Cause(cause="learning rate too high", because=because))
            if context.lr > 0.0 and rise is None:
                share = update / LARGE_UPDATE
                fixes.append(f"lr {context.lr:.3g} -> {context.lr / (3.0 * share):.2g}")
        clip = context.info.grad_clip
        if clip is None and usual < math.inf:
            if not causes:
                because = f"the run does not clip, and was used to a norm of {usual:.3g}"
                causes.append(Cause(cause="single batches with extreme gradients", because=because))
            fixes.append(f"clip at {2.0 * usual:.2g}, twice the median norm before step {step}")
        elif clip is not None and clip > 4.0 * usual:
            fixes.append(f"clip at {2.0 * usual:.2g} instead of {clip:g}")
        return tuple(causes), tuple(fixes)

    def _usual_norm(self) -> float:
        limit = self._limit
        return limit / self.thresholds.ratio if limit < math.inf else self._usual

    def _escalate(self, severity: Severity) -> Findings:
        """The loss bears the advice out: it becomes a finding."""
        return self.update(
            severity=severity, title=self.title, evidence=self._evidence(), layers=self._layers
        )

    def _severity(self) -> Severity:
        loss = self.context.loss
        return "critical" if loss.level > loss.first else "warning"

    def _below(self, step: int) -> Findings:
        # Advice that the loss bears out a little later becomes a finding.
        recent = self._exploded >= 3 and self._quiet < 20
        advice = self.current is not None and self.current.severity == "info"
        if advice and recent and self.context.loss.harmed:
            return self._escalate(self._severity())
        self._quiet += 1
        if self._quiet < self.thresholds.quiet:
            return ()
        self._exploded = 0
        self._quiet = 0
        self._peak = (0.0, 0)
        return self.resolve(step)

    def _evidence(self) -> tuple[Evidence, ...]:
        norm, step = self._peak
        usual = self._usual_norm()
        found = [
            Evidence(
                what="highest gradient norm",
                value=norm,
                threshold=self.thresholds.ratio * usual,
                step=step,
            ),
            Evidence(what="median gradient norm before", value=usual),
            Evidence(what="records beyond the threshold", value=float(self._exploded)),
        ]
        loss = self.context.loss
        if loss.rise > 0:
            level = Evidence(what="smoothed loss", value=loss.level, step=self.context.last_step)
            found += [level, Evidence(what="best smoothed loss", value=loss.best)]
        return tuple(found)
