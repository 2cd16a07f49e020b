"""Dead units: those that no sample activates, told apart from those that are merely sparse.

A ReLU layer that is silent on most values of each sample is healthy; a unit that is silent on all
values of all samples passes no gradient and never comes back. Counts are exact: every value of
every sample is looked at, in evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import NO_BATCH, forward, move, one_pass
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, counted, finding

if TYPE_CHECKING:
    import torch

    _Room = dict[tuple[torch.dtype, torch.device], torch.Tensor]
    """Kept from layer to layer: memory that is new costs more than the comparison written to it."""

ENOUGH_SAMPLES = 1000
"""A class that comes up once in a hundred is then missed with a probability below 1e-4."""
LAYER_DEAD = 0.5
"""SageMaker Debugger's DeadRelu: a layer is reported when more than half of its units are dead."""
LAYER_SATURATED = 0.5
"""DeepDiagnosis (ICSE 2022): more than half of the inputs beyond `SATURATED_AT`."""
SMOOTH = frozenset(("gelu", "silu", "mish"))
"""Never exactly zero far below it; judged with a tolerance."""
SATURATED_AT = {"tanh": 5.0, "sigmoid": 5.0, "hardtanh": 1.0, "hardsigmoid": 3.0}
"""|input| from which on an activation is flat: DeepDiagnosis' 5, exact for the piecewise ones."""
EXACT_IN_FLOAT32 = 1 << 24
"""The largest count up to which float32 holds every whole number."""


@dataclass(kw_only=True)
class _Layer:
    """The counts of one layer so far."""

    kind: str
    silent: torch.Tensor
    """Shape (units,): values without activation (ReLU and the like) or saturated (tanh ...)."""
    values: int
    """Of all units."""
    nan: bool = False
    varying: bool = False
    """The number of units changes from batch to batch: that axis holds none."""


def run(context: Context) -> Outcome:
    """Run the data through the model and count.

    Raises:
        AnalysisFailedError: There is no data, or the model has no activation that can die.
    """
    import torch

    from traintop.analyses.activations import ActivationWatch

    if context.target.train is None:
        raise AnalysisFailedError("the dead-neuron scan needs train in the Target")
    wanted = int(context.number("samples"))
    if wanted < 1:
        raise AnalysisFailedError(f"samples must be at least 1, not {wanted}")
    tolerance = context.number("tolerance")
    layers: dict[str, _Layer] = {}
    room: _Room = {}
    counts = True

    def seen(name: str, kind: str, before: torch.Tensor, after: torch.Tensor, axis: int) -> None:
        if counts:
            _count(layers, name, kind, before, after, axis, tolerance, room)

    # In evaluation mode torch would run a transformer layer as one fused call.
    torch.backends.mha.set_fastpath_enabled(False)
    context.model.eval()
    samples = 0
    with torch.no_grad(), ActivationWatch(context.model, seen) as watch:
        for batch in one_pass(context.target.train, context.seed):
            watch.begin_pass()
            share = context.ranks.share(batch)
            counts = share.samples > 0
            forward(context.target, context.model, move(share.batch, context.device))
            samples += share.of
            context.progress(min(samples, wanted), wanted, "samples")
            if samples >= wanted:
                break
    if not samples:
        raise AnalysisFailedError(NO_BATCH)
    layers = _joined(context.ranks.gather(layers))
    for name in [name for name, layer in layers.items() if layer.varying]:
        context.log(f"{name}: left out, its number of units changes from batch to batch")
        del layers[name]
    if not layers:
        raise AnalysisFailedError(
            "the model has no activation that can die or saturate (ReLU, GELU, tanh, "
            "sigmoid ...); the gates inside of LSTM and GRU cannot be seen"
        )
    rows = [_row(name, layer) for name, layer in layers.items()]
    broken = [name for name, layer in layers.items() if layer.nan]
    return Outcome(
        result={"layers": rows, "samples": samples},
        findings=_judge(rows, samples, broken, context.step),
    )


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a layer."""
    samples, layers = result["samples"], result["layers"]
    width = max((len(layer["name"]) for layer in layers), default=0)
    dead = sum(layer["dead"] for layer in layers)
    units = sum(layer["units"] for layer in layers)
    where, seen = counted(len(layers), "layer"), counted(samples, "sample")
    lines = [f"{dead} of {units} units dead in {where}, over {seen}"]
    if samples < ENOUGH_SAMPLES:
        lines.append(f"too few samples to be sure: {samples}, {ENOUGH_SAMPLES} are needed")
    for layer in layers:
        share = (
            f"saturated {layer['saturated_fraction']:.0%} of values"
            if layer["kind"] in SATURATED_AT
            else f"silent {layer['zero_fraction']:.0%} of values"
        )
        lines.append(
            f"{layer['name']:<{width}}  {layer['kind']:<7}"
            f"  dead {layer['dead']}/{layer['units']} ({layer['dead_fraction']:.1%})  {share}"
        )
    return lines


def _count(
    layers: dict[str, _Layer],
    name: str,
    kind: str,
    before: torch.Tensor,
    after: torch.Tensor,
    axis: int,
    tolerance: float,
    room: _Room,
) -> None:
    if kind in SATURATED_AT:
        values, low, high = before.abs(), SATURATED_AT[kind], math.inf
    else:
        values, low, high = after, -tolerance if kind in SMOOTH else 0.0, 0.0
    silent = _count_between(values.reshape(values.shape or (1,)), low, high, axis, room)
    layer = layers.get(name)
    if layer is None:
        layer = layers[name] = _Layer(kind=kind, silent=silent, values=values.numel())
    elif len(silent) != len(layer.silent):
        layer.varying = True
        return
    else:
        layer.silent += silent
        layer.values += values.numel()
    # A sum takes one pass and no memory; that of infinities is NaN, too.
    layer.nan = layer.nan or (bool(after.sum().isnan()) and bool(after.isnan().any()))


def _count_between(
    values: torch.Tensor, low: float, high: float, axis: int, room: _Room
) -> torch.Tensor:
    """How many values of each unit lie in [low, high], shape (units,); NaN does not."""
    import torch

    place = (values.dtype, values.device)
    if place not in room or room[place].numel() < values.numel():
        room[place] = values.new_empty(values.numel())
    # Into the values' own type, comparisons are several times faster than into booleans.
    mask = room[place][: values.numel()].view(values.shape)
    rest = [dim for dim in range(values.ndim) if dim != axis % values.ndim]
    exact = torch.float32 if values.numel() <= EXACT_IN_FLOAT32 else torch.float64

    if low == high:
        torch.eq(values, low, out=mask)
    elif high == math.inf:
        torch.ge(values, low, out=mask)
    else:  # One sum and no second mask: what lies within is what clamping leaves alone.
        torch.clamp(values, low, high, out=mask)
        torch.eq(mask, values, out=mask)
    return (mask.sum(rest, dtype=exact) if rest else mask.to(exact)).double()


def _joined(counted: Sequence[Mapping[str, _Layer]]) -> dict[str, _Layer]:
    """What several ranks have counted, as if one had seen all samples."""
    joined: dict[str, _Layer] = {}
    for layers in counted:
        for name, layer in layers.items():
            before = joined.setdefault(name, layer)
            if before is layer:
                continue
            before.nan = before.nan or layer.nan
            same = len(before.silent) == len(layer.silent)
            before.varying = before.varying or layer.varying or not same
            if not before.varying:
                before.silent += layer.silent.to(before.silent.device)
                before.values += layer.values
    return joined


def _row(name: str, layer: _Layer) -> dict[str, Any]:
    units = len(layer.silent)
    dead = layer.silent >= layer.values / max(units, 1)
    dead_units = cast("list[int]", dead.nonzero().flatten().tolist())
    share = float(layer.silent.sum()) / max(layer.values, 1)
    saturates = layer.kind in SATURATED_AT
    return {
        "name": name,
        "kind": layer.kind,
        "units": units,
        "dead": len(dead_units),
        "dead_fraction": len(dead_units) / max(units, 1),
        "dead_units": dead_units,
        "saturated_fraction": share if saturates else 0.0,
        "zero_fraction": 0.0 if saturates else share,
    }


def _judge(
    rows: list[dict[str, Any]], samples: int, broken: list[str], step: int | None
) -> list[dict[str, Any]]:
    """What the counts say; with too few samples it is only information."""
    found: list[dict[str, Any]] = []
    sure = samples >= ENOUGH_SAMPLES
    few = (
        []
        if sure
        else [{"what": "samples", "value": samples, "threshold": ENOUGH_SAMPLES, "step": step}]
    )
    dead = [
        row for row in rows if row["kind"] not in SATURATED_AT and row["dead_fraction"] > LAYER_DEAD
    ]
    # The last activation of a good classifier saturates as it should.
    saturated = [
        row
        for row in rows[:-1]
        if row["kind"] in SATURATED_AT and row["saturated_fraction"] > LAYER_SATURATED
    ]
    if broken:
        found.append(
            finding(
                "nan_inf",
                "critical",
                f"NaN activations in {counted(len(broken), 'layer')}, first in {broken[0]}",
                step=step,
                layers=broken,
                evidence=[
                    {"what": "layers with NaN", "value": len(broken), "threshold": 0, "step": step}
                ],
            )
        )
    for name, hit, key, what, threshold in (
        ("dead_units", dead, "dead_fraction", "dead units", LAYER_DEAD),
        ("saturated_units", saturated, "saturated_fraction", "saturated values", LAYER_SATURATED),
    ):
        if not hit:
            continue
        worst = max(hit, key=lambda row: row[key])
        found.append(
            finding(
                name,
                "warning" if sure else "info",
                f"{worst[key]:.0%} {what} in {worst['name']} "
                f"({counted(len(hit), 'layer')} > {threshold:.0%})",
                step=step,
                layers=[row["name"] for row in hit],
                evidence=[
                    {
                        "what": f"share of {what} in {row['name']}",
                        "value": row[key],
                        "threshold": threshold,
                        "step": step,
                    }
                    for row in hit
                ]
                + few,
                next=[{"do": "LR range test on this checkpoint", "analysis": "lr_find"}],
            )
        )
    return found
