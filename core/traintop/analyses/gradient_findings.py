"""What the gradients of checkpoints are reported as.

A symptom of gradients alone is advice (`info`); what is certainly wrong, or has a consequence in
the loss, is a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from traintop.analyses import gradient_status
from traintop.analyses.context import counted, finding
from traintop.analyses.gradient_status import Layer


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The gradients of one checkpoint."""

    checkpoint: str | None
    step: int | None
    loss: float | None
    """Mean over the batches; None where it was not finite."""
    layers: Sequence[Layer]
    statuses: Sequence[str]
    learning_rate: float | None = None
    """The highest of the optimizer that made the update; None: no update was made."""
    fresh: bool = True
    """Whether that optimizer began without the state of the checkpoint."""


def judge(flows: Sequence[Flow]) -> list[dict[str, Any]]:
    """What the first checkpoint shows, and what it shows against the earlier ones."""
    flow = flows[0]
    found = [
        made
        for rule in (_nonfinite, _disconnected, _zero, _vanishing, _unmoved, _update_off)
        if (made := rule(flow)) is not None
    ]
    earlier = [
        each
        for each in flows[1:]
        if flow.step is not None and each.step is not None and each.step < flow.step
    ]
    exploding = _exploding(flow, earlier)
    return [*found, exploding] if exploding is not None else found


def _with(flow: Flow, *wanted: str, judged: bool = False) -> list[Layer]:
    return [
        layer
        for layer, status in zip(flow.layers, flow.statuses, strict=True)
        if status in wanted and (layer.judged or not judged)
    ]


def _evidence(flow: Flow, what: str, value: float, threshold: float | None) -> dict[str, Any]:
    return {"what": what, "value": value, "threshold": threshold, "step": flow.step}


def _nonfinite(flow: Flow) -> dict[str, Any] | None:
    hit = _with(flow, "nan")
    if not hit and flow.loss is not None:
        return None
    return finding(
        "nan_inf",
        "critical",
        f"Gradients of {counted(len(hit), 'layer')} are not finite"
        if hit
        else "The loss is not finite",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=[_evidence(flow, "layers whose gradient is not finite", len(hit), 0)],
        next=[{"do": "Find the first module with a NaN", "analysis": "nan_source"}],
    )


def _disconnected(flow: Flow) -> dict[str, Any] | None:
    hit = _with(flow, "none")
    if not hit:
        return None
    return finding(
        "disconnected_params",
        "warning",
        f"No gradient is computed for {counted(len(hit), 'layer')}, {hit[0].name} first",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=[_evidence(flow, "layers without a gradient", len(hit), 0)],
        causes=[
            {
                "cause": "the loss does not depend on them",
                "because": "they ask for a gradient, and backward() left None: not used in the "
                "forward pass, or cut off by detach() or no_grad()",
            }
        ],
        next=[{"do": "Central differences on these layers", "analysis": "gradient_check"}],
    )


def _zero(flow: Flow) -> dict[str, Any] | None:
    hit = _with(flow, "zero", judged=True)
    if not hit or flow.loss == 0:  # a loss that has reached its minimum has no gradient
        return None
    # Factors that begin at 0 (residual branches, adapters) let nothing through before any training.
    trained = flow.step is not None and flow.step > 0
    return finding(
        "vanishing_gradients",
        "warning" if trained else "info",
        f"The gradient of {counted(len(hit), 'layer')} is exactly 0, {hit[0].name} first",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=[_evidence(flow, "layers whose gradient is 0 in all batches", len(hit), 0)],
        causes=[
            {
                "cause": "dead units, or a factor of 0, after them",
                "because": "a gradient is computed, and all of it is 0",
            }
        ],
        next=[{"do": "Dead and saturated units", "analysis": "dead_neurons"}],
    )


def _vanishing(flow: Flow) -> dict[str, Any] | None:
    hit = _with(flow, "vanishing")
    reference = gradient_status.reference(flow.layers)
    if not hit or reference is None:
        return None
    worst = min(layer.rms for layer in hit) / reference
    return finding(
        "vanishing_gradients",
        "warning" if worst < gradient_status.FAR_VANISHED else "info",
        f"Next to no gradient in {counted(len(hit), 'layer')}: "
        f"{hit[0].name} gets {worst:.1e} of what the last ones get",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=[
            _evidence(
                flow,
                f"RMS gradient of {layer.name} over that of the last layers",
                layer.rms / reference,
                gradient_status.VANISHED,
            )
            for layer in hit
        ],
        next=[{"do": "Dead and saturated units", "analysis": "dead_neurons"}],
    )


def _exploding(flow: Flow, earlier: Sequence[Flow]) -> dict[str, Any] | None:
    """By depth, which is advice, or against the checkpoints before, with the loss as a witness."""
    norms = [gradient_status.total_norm(each.layers) for each in earlier]
    past = [norm for norm in norms if norm]
    now = gradient_status.total_norm(flow.layers) or 0.0
    growth = now / median(past) if past else 0.0
    hit, reference = _with(flow, "exploding"), gradient_status.reference(flow.layers)
    evidence = [
        _evidence(
            flow,
            f"RMS gradient of {layer.name} over that of the last layers",
            layer.rms / reference,
            gradient_status.EXPLODED,
        )
        for layer in hit
        if reference
    ]
    suffers = False
    if growth > gradient_status.GROWN:
        evidence.append(
            _evidence(
                flow,
                "gradient norm over the median of the earlier checkpoints",
                growth,
                gradient_status.GROWN,
            )
        )
        losses = [each.loss for each in earlier if each.loss is not None]
        suffers = flow.loss is None or (bool(losses) and flow.loss > median(losses))
    if not evidence:
        return None
    grown = growth > gradient_status.GROWN
    return finding(
        "exploding_gradients",
        "warning" if suffers else "info",
        f"The gradient norm is {growth:.0f} times that of the earlier checkpoints"
        if grown
        else f"Far more gradient in {counted(len(hit), 'layer')} than the last: {hit[0].name}",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=evidence,
        next=[{"do": "LR range test on this checkpoint", "analysis": "lr_find"}],
    )


def _unmoved(flow: Flow) -> dict[str, Any] | None:
    """Layers with a gradient that the step leaves exactly as they were."""
    if not flow.learning_rate:
        return None
    least = gradient_status.ROUNDING * max(layer.rms for layer in flow.layers)
    hit = [
        layer
        for layer in _with(flow, "ok", "exploding", "vanishing")
        if layer.update_ratio == 0 and layer.rms > least
    ]
    if not hit:
        return None
    return finding(
        "frozen_params",
        "warning",
        f"The optimizer's step leaves {counted(len(hit), 'layer')} unchanged, {hit[0].name} first",
        step=flow.step,
        layers=[layer.name for layer in hit],
        evidence=[_evidence(flow, "layers with a gradient and no update", len(hit), 0)],
        causes=[
            {
                "cause": "not in the optimizer, or an update that the weights' precision swallows",
                "because": f"at learning rate {flow.learning_rate:.1e} not one bit of them changes",
            }
        ],
    )


def _update_off(flow: Flow) -> dict[str, Any] | None:
    """The median update; a fresh optimizer's first step may be far smaller than its later ones."""
    ratios = [each.update_ratio for each in flow.layers if each.judged and each.update_ratio]
    if not ratios or not flow.learning_rate:
        return None
    typical = median(ratios)
    high, low = gradient_status.UPDATE_HIGH, gradient_status.UPDATE_LOW
    if low <= typical <= high or (typical < low and flow.fresh):
        return None
    words = "large" if typical > high else "small"
    return finding(
        "update_ratio_off",
        "info",
        f"Updates are {words}: {typical:.1e} of the weights a step",
        step=flow.step,
        evidence=[
            _evidence(
                flow, "median update over the weights", typical, high if typical > high else low
            )
        ],
        next=[{"do": "LR range test on this checkpoint", "analysis": "lr_find"}],
    )
