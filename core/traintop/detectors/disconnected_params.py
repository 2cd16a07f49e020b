"""Disconnected parameters: trainable layers that the loss does not depend on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.fine_tuning import is_named
from traintop.detectors.layer_state import Counts
from traintop.detectors.layers import Mask, named
from traintop.records import Cause, Evidence, LayerNames, LayerStats, NotJudged, Severity

IN_TURNS = ("expert", "pooler")
"""Parts of names of layers that are often without a gradient by design: experts that no token was
sent to, and the pooling head that transformer libraries keep beside the one that is trained."""


class DisconnectedParamsThresholds(Thresholds, frozen=True):
    """Thresholds of `disconnected_params`."""

    records: float = 2
    """Layer records in a row without any gradient, of a layer that never had one (a prototype's
    value): the graph is the same at every step."""
    records_lost: float = 5
    """The same of a layer that has had one: what is not used in each step (experts, stochastic
    depth, heads in turns) has none now and then."""
    records_zero: float = 5
    """Layer records in a row with a gradient of exactly 0 (trainproof: 5)."""


class DisconnectedParams(Detector[DisconnectedParamsThresholds]):
    """Judged by gradients that are not there, or exactly 0, while other layers have one."""

    id = "disconnected_params"
    title = "Layers get no gradient"
    needs = "per-layer gradient norms"
    record = "Recorder(model, optimizer, layers_every=10); or `grad_norm` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = DisconnectedParamsThresholds

    def __init__(self, context: Context, thresholds: DisconnectedParamsThresholds) -> None:
        super().__init__(context, thresholds)
        self._by_design: Mask = np.zeros(0, bool)
        self._had: Mask = np.zeros(0, bool)
        self._zero: Counts = np.zeros(0, np.int64)
        self._onset = -1
        self._judged = False

    def on_layer_names(self, names: LayerNames) -> None:
        """Find the layers that may be without a gradient by design."""
        count = len(names.names)
        self._by_design = is_named(names.names, IN_TURNS)
        self._had = np.zeros(count, bool)
        self._zero = np.zeros(count, np.int64)
        self._onset = -1

    def on_layers(self, stats: LayerStats) -> Findings:
        """Count the records in a row without a gradient."""
        norms = stats.stats.get("grad_norm")
        if norms is None or norms.shape != self._zero.shape:
            return ()
        has = norms > 0
        if not has.any():
            return ()  # Of such a step nothing is known: recorded before the first backward pass.
        self._judged = True
        state = self.context.layers
        self._had |= has
        self._zero = np.where(norms == 0, self._zero + 1, 0)
        missing = self._missing(stats)
        thresholds = self.thresholds
        needed = np.where(self._had, thresholds.records_lost, thresholds.records)
        lost = missing & (state.without_gradient >= needed)
        zero = (self._zero >= thresholds.records_zero) & state.trainable(len(norms))
        cut = lost | zero
        if not cut.any():
            if not missing.any() and not (self._zero > 0).any():
                self._onset = -1
            elif self._onset < 0:
                self._onset = stats.step
            return self.resolve(stats.step) if self.current is not None else ()
        if self._onset < 0:
            self._onset = stats.step
        layers = named(state.names.names, cut)
        if self.current is not None:
            return () if layers == self.current.layers else self.update(layers=layers)
        return self._cut(stats, cut, lost, layers)

    def not_judged(self) -> NotJudged | None:
        """A run without per-layer gradients."""
        return None if self._judged else self.missing()

    def _missing(self, stats: LayerStats) -> Mask:
        """Which trainable layers have no gradient; one that is NaN or infinite is none of them."""
        norms = stats.stats["grad_norm"]
        missing = np.isnan(norms) & self.context.layers.trainable(len(norms))
        broken = stats.stats.get("grad_nan")
        if broken is not None and broken.shape == missing.shape:
            missing &= ~(broken > 0)
        updates = stats.stats.get("update_ratio")
        if updates is not None and updates.shape == missing.shape:
            # Optimizers pass over what has no gradient.
            missing &= updates == 0
        return missing

    def _cut(self, stats: LayerStats, cut: Mask, lost: Mask, layers: tuple[str, ...]) -> Findings:
        context = self.context
        by_design = bool(self._by_design[cut].all()) or context.info.task == "gan"
        severity: Severity = "info" if by_design else "warning"
        count = int(cut.sum())
        who = f"{layers[0]} gets" if count == 1 else f"{count} of {len(cut)} layers get"
        state = context.layers
        none = bool(lost.any())
        records = int((state.without_gradient[lost] if none else self._zero[cut]).max())
        limit = self.thresholds.records if none else self.thresholds.records_zero
        kind = "no gradient" if none else "a gradient of exactly 0"
        evidence = (
            Evidence(
                what=f"layer records in a row with {kind}, while other layers had one",
                value=float(records),
                threshold=self.thresholds.records_lost if (lost & self._had).any() else limit,
                step=stats.step,
            ),
            Evidence(what="layers concerned", value=float(count), step=stats.step),
        )
        which = ", ".join(layers)
        return self.open(
            severity,
            self._onset,
            evidence,
            title=f"{who} {kind}" + (", by design it seems" if by_design else ""),
            series=("grad_norm",),
            layers=layers,
            causes=self._causes(stats, cut, none=none),
            next=(self.next_test("Gradient flow to each layer", "gradient_flow", stats.step),),
            fixes=(
                f"take out .detach(), .item() or torch.no_grad() between {layers[0]} and the loss",
                f"if nothing is to use them, remove {which} from the model",
            ),
        )

    def _causes(self, stats: LayerStats, cut: Mask, *, none: bool) -> tuple[Cause, ...]:
        ever = (self._had & cut).any()
        since = f"none since step {self._onset}" if ever else "none since the first record"
        detached = Cause(
            cause="detached from the loss: .detach(), no_grad, a conversion to numbers",
            because=since if none else f"the gradient is exactly 0 since step {self._onset}",
        )
        unused = Cause(cause="not used in the forward pass", because=since)
        if len(self.context.layers.names.requires_grad) != len(cut):
            frozen = Cause(
                cause="requires_grad is off", because="the run does not say which layers train"
            )
            return (detached, unused, frozen)
        silent = self._silent(stats, cut)
        if silent is not None:
            because = f"{silent} was never run in the step"
            return (Cause(cause=unused.cause, because=because, basis="measured"), detached)
        return (detached, unused)

    def _silent(self, stats: LayerStats, cut: Mask) -> str | None:
        """An activation beside the layers concerned that has put nothing out, if all there have."""
        names = self.context.layers.names
        outputs = stats.stats.get("act_std")
        if outputs is None or len(outputs) != len(names.act_names):
            return None
        # `branch.0.weight` belongs to the module `branch.0`, which `branch.1` is a neighbour of.
        parents = {
            names.names[index].rpartition(".")[0].rpartition(".")[0]
            for index in np.flatnonzero(cut).tolist()
        } - {""}
        beside = [
            index
            for index, name in enumerate(names.act_names)
            if name.rpartition(".")[0] in parents
        ]
        if not beside or not np.isnan(outputs[beside]).all():
            return None
        return names.act_names[beside[0]]
