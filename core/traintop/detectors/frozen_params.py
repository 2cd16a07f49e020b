"""Frozen parameters: layers that are never updated, or an optimizer that does not step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.fine_tuning import is_named, why_chosen
from traintop.detectors.idle_optimizer import idle_evidence, idle_records
from traintop.detectors.layers import Mask, named
from traintop.detectors.standstill import standstill
from traintop.records import Cause, Evidence, Floats, LayerNames, LayerStats, NotJudged, Row

EMBEDDINGS = ("emb", "wte", "wpe")

BFLOAT16_ROUNDING = 2.0**-9
"""An update below this share of a weight is lost in bfloat16, which keeps 8 bits of it."""


class FrozenParamsThresholds(Thresholds, frozen=True):
    """Thresholds of `frozen_params`. Exact zeros: SageMaker's `UnchangedTensor` takes 3 records."""

    records: float = 3
    """Layer records in a row in which a layer with a gradient had an update of exactly 0 while
    others moved (SageMaker; a prototype's value too) ..."""
    records_apart: float = 2
    """... or this many, where they lie as far apart as this:"""
    apart: float = 20
    """Steps between two layer records."""
    records_embedding: float = 10
    """The same of embeddings whose weight norm is not recorded: a recorder that samples may miss
    the rows that a batch updates."""
    body: float = 0.9
    """Share of the weights that may be frozen on purpose if only what follows them trains."""
    trained_start: float = 0.7
    """Share of the loss of guessing below which the first loss is that of a trained model."""
    idle: float = 64
    """Updates in a row of exactly 0 from which on nobody steps, unless accumulation is known ..."""
    idle_known: float = 16
    """... where it is known, and never less than:"""
    idle_rounds: float = 3
    """Multiple of the micro-steps of one accumulated step."""
    idle_averaged: float = 2
    """The same where a record is a mean over many steps."""
    fallen: float = 0.05
    """Fall of the loss, as share of its start, that refutes it: somebody must step then."""
    not_learning: float = 0.93
    """Share of the starting loss that the level must still be at for frozen layers that look like
    a choice to be a fault ..."""
    after: float = 0.12
    """... after this share of the planned steps (both a prototype's values) ..."""
    after_records: float = 100
    """... or this many records where no plan is known."""


class FrozenParams(Detector[FrozenParamsThresholds]):
    """Judged by state: `requires_grad`, and updates of exactly 0 of what has a gradient.

    What has no gradient is for `disconnected_params`, a gradient of 0 for `dead_units`.
    """

    id = "frozen_params"
    title = "Layers are never updated"
    needs = "per-layer update ratios"
    record = "Recorder(model, optimizer, layers_every=10); or `update_ratio` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = FrozenParamsThresholds

    def __init__(self, context: Context, thresholds: FrozenParamsThresholds) -> None:
        super().__init__(context, thresholds)
        self._embeddings: Mask = np.zeros(0, bool)
        self._norms: Floats | None = None
        self._onset = -1
        self._last_step = -1
        self._judged = False
        self._is_idle = False
        """Whether the open episode is that of an optimizer that does not step."""

    def on_layer_names(self, names: LayerNames) -> None:
        """Find the embeddings."""
        self._embeddings = is_named(names.names, EMBEDDINGS)
        self._norms = None
        self._onset = self._last_step = -1

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Look for an optimizer that does not step."""
        updates = self.context.updates
        if not updates.zero_streak:
            if self._is_idle and updates.count:
                self._is_idle = False
                return self.resolve(rows[-1].step)
            return ()
        return () if self.current is not None else self._idle(rows)

    def on_layers(self, stats: LayerStats) -> Findings:
        """Look for layers that stand still while others move."""
        context = self.context
        state = context.layers
        updates = stats.stats.get("update_ratio")
        if updates is None or len(state.names.names) != len(updates) or self._is_idle:
            return ()
        self._judged = True
        trains = state.trainable(len(updates))
        gap, self._last_step = stats.step - self._last_step, stats.step
        moving = bool((updates > 0).any())
        # Gradient accumulation, a skipped step, a warm-up that begins at 0: nobody is to blame.
        if not moving or not trains.any():
            return ()
        declared = ~trains & ~(updates > 0)
        needed = self._needed(stats, gap)
        stuck = trains & (state.still >= needed) & self._stands(stats)
        frozen = declared | stuck
        if not frozen.any():
            self._onset = -1
            return self.resolve(stats.step) if self.current is not None else ()
        if self._onset < 0:
            self._onset = stats.step if declared.any() else self._since(stats.step, gap, stuck)
        return self._frozen(stats, frozen, stuck, needed)

    def not_judged(self) -> NotJudged | None:
        """A run without per-layer updates; of an idle optimizer the update of all is enough."""
        return None if self._judged else self.missing()

    def _needed(self, stats: LayerStats, gap: int) -> Floats:
        thresholds = self.thresholds
        far = gap >= thresholds.apart or self.context.averaged
        usual = thresholds.records_apart if far else thresholds.records
        sampled = "weight_norm" not in stats.stats
        return np.where(self._embeddings & sampled, thresholds.records_embedding, usual)

    def _stands(self, stats: LayerStats) -> Mask:
        """Which layers have a gradient, and the weight norm of the record before."""
        state = self.context.layers
        gradients = stats.stats.get("grad_norm")
        stands = np.ones(state.still.shape, bool) if gradients is None else gradients > 0
        norms = stats.stats.get("weight_norm")
        if norms is not None and norms.shape == stands.shape:
            if self._norms is not None:
                # An update may be 0 where only a sample of it was taken; the norm is of all.
                stands = stands & ~(norms != self._norms)
            self._norms = norms
        return stands

    def _since(self, step: int, gap: int, stuck: Mask) -> int:
        records = int(self.context.layers.still[stuck].max()) - 1
        return max(0, step - records * max(gap, 0))

    def _frozen(self, stats: LayerStats, frozen: Mask, stuck: Mask, needed: Floats) -> Findings:
        context = self.context
        thresholds = self.thresholds
        names = context.layers.names
        layers = named(names.names, frozen)
        if self.current is not None:
            return self._frozen_still(stats, frozen, stuck, needed, layers)
        chosen = None
        if not stuck.any():
            chosen = why_chosen(
                context,
                frozen,
                names.numel,
                body=thresholds.body,
                start=thresholds.trained_start,
            )
        if context.info.task == "gan":
            chosen = "two networks are trained in turns"
        return self.open(
            "info" if chosen is not None else "warning",
            self._onset,
            self._evidence(stats, frozen, stuck, needed),
            title=_title(layers, frozen, chosen, stuck=bool(stuck.any())),
            series=("update_ratio",),
            layers=layers,
            causes=self._causes(stats, stuck),
            next=(self.next_test("Gradients of the layers", "gradient_flow", stats.step),),
            fixes=_fixes(layers, declared=not stuck.any()),
        )

    def _frozen_still(
        self, stats: LayerStats, frozen: Mask, stuck: Mask, needed: Floats, layers: tuple[str, ...]
    ) -> Findings:
        """Turn advice into a warning once it does harm, or is more than a choice."""
        context = self.context
        thresholds = self.thresholds
        if self.current is None or context.info.task == "gan":
            return ()
        if self.current.severity == "info" and context.explanation(self.id) is None:
            stands = standstill(
                context, thresholds.not_learning, thresholds.after, thresholds.after_records
            )
            if stuck.any() or stands:
                return self.update(
                    severity="warning",
                    title=_title(layers, frozen, None, stuck=bool(stuck.any())),
                    layers=layers,
                    evidence=(*self._evidence(stats, frozen, stuck, needed), *stands),
                    causes=self._causes(stats, stuck),
                    fixes=_fixes(layers, declared=not stuck.any()),
                )
        return () if layers == self.current.layers else self.update(layers=layers)

    def _evidence(
        self, stats: LayerStats, frozen: Mask, stuck: Mask, needed: Floats
    ) -> tuple[Evidence, ...]:
        numel = self.context.layers.names.numel
        weights = np.array(numel if len(numel) == len(frozen) else [1] * len(frozen), float)
        share = float(weights[frozen].sum() / max(1.0, weights.sum()))
        found = [Evidence(what="share of the weights that is frozen", value=share, step=stats.step)]
        if stuck.any():
            records = float(self.context.layers.still[stuck].max())
            limit = float(needed[stuck].min())
            what = "layer records in a row with updates of exactly 0 while other layers moved"
            found.insert(0, Evidence(what=what, value=records, threshold=limit, step=stats.step))
            gradients = stats.stats.get("grad_norm")
            if gradients is not None:
                size = float(np.nanmax(gradients[stuck]))
                found.append(Evidence(what="largest gradient norm of those layers", value=size))
        return tuple(found)

    def _causes(self, stats: LayerStats, stuck: Mask) -> tuple[Cause, ...]:
        if not stuck.any():
            because = "the run recorded requires_grad = false for them, and updates of 0"
            return (Cause(cause="requires_grad is off", because=because, basis="measured"),)
        because = "they get a gradient, and their update is exactly 0"
        causes = [Cause(cause="not among the parameters of the optimizer", because=because)]
        norms = stats.stats.get("weight_norm")
        numel = self.context.layers.names.numel
        lr = self.context.lr
        if norms is not None and len(numel) == len(norms) and lr > 0:
            root = np.sqrt(np.maximum(np.array(numel, float)[stuck], 1.0))
            size = float(np.median(norms[stuck] / root))
            if size > 0 and lr / size < BFLOAT16_ROUNDING:
                because = f"lr {lr:.3g} is {lr / size:.1e} of the RMS weight {size:.3g}"
                cause = "weights kept in bfloat16, in which such an update rounds to nothing"
                causes.append(Cause(cause=cause, because=because))
        causes.append(Cause(cause="a parameter group with lr 0", because=because))
        return tuple(causes)

    def _idle(self, rows: Sequence[Row]) -> Findings:
        context = self.context
        thresholds = self.thresholds
        limit = idle_records(
            context,
            known=thresholds.idle_known,
            unknown=thresholds.idle,
            rounds=thresholds.idle_rounds,
            averaged=thresholds.idle_averaged,
        )
        streak = context.updates.zero_streak
        if streak < limit:
            return ()
        evidence = idle_evidence(context, rows, limit, thresholds.fallen)
        if not evidence:
            return ()
        self._is_idle = True
        step = rows[-1].step
        because = "gradients are there, and no weight moves"
        return self.open(
            "critical",
            max(0, round(step - (streak - 1) * context.stride)),
            evidence,
            title="No weight moves: every update is exactly 0",
            series=("update_ratio",),
            causes=(
                Cause(cause="optimizer.step() is not called", because=because),
                Cause(cause="the optimizer holds the parameters of another model", because=because),
            ),
            next=(self.next_test("Gradients and updates of the layers", "gradient_flow", step),),
            fixes=(
                "call optimizer.step() after loss.backward()",
                "build the optimizer on model.parameters() after the model is moved or wrapped",
            ),
        )


def _title(layers: tuple[str, ...], frozen: Mask, chosen: str | None, *, stuck: bool) -> str:
    count = int(frozen.sum())
    which = f"{layers[0]} is" if count == 1 else f"{count} of {len(frozen)} layers are"
    if chosen is not None:
        return f"{which} frozen, on purpose it seems: {chosen}"
    if stuck:
        return f"{which} never updated, though with a gradient"
    return f"{which} frozen: requires_grad is off"


def _fixes(layers: tuple[str, ...], *, declared: bool) -> tuple[str, ...]:
    which = ", ".join(layers)
    if declared:
        return (
            f"set requires_grad_(True) on {which} before the optimizer is built",
            "if it is meant so, record it: Recorder(model, optimizer, pretrained=True)",
        )
    return (
        f"build the optimizer on model.parameters(), or give it {which} with add_param_group",
        f"if they are meant to stay as they are, set requires_grad_(False) on {which}",
    )
