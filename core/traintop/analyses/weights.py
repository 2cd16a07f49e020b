"""The weights of each layer: against their initialisation, and against the checkpoint before.

What a fresh model of the target is like stands for the initialisation: its numbers are others than
those that the run began with, their spread is the same. What weights should be like at the start is
after LeCun and He et al.: a standard deviation near 1 / sqrt(inputs of a unit).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from traintop.analyses.context import Context, Outcome, counted, finding

if TYPE_CHECKING:
    import torch

START_HIGH, START_LOW = 10.0, 0.01
"""Standard deviation of fresh weights times sqrt(inputs). PyTorch's default gives 0.58, He et al.
1.4, GPT-2's 0.02 from 0.08 to 1.3 over widths of 16 to 4096."""
SHRUNK = 0.3
"""Median over the layers of the norm over that of the fresh model. Weight decay of usual recipes
was not seen below 0.5 (the detector `weight_decay_too_high` warns of a fast fall to 0.55)."""
FRESH_STEPS = 0
"""The last step at which the weights are still those of the initialisation."""


def run(context: Context) -> Outcome:
    """Measure each parameter.

    Raises:
        AnalysisFailedError: A checkpoint to compare with cannot be read or does not fit.
    """
    from traintop.analyses.model_order import bare_name, weight_matrices
    from traintop.analyses.weight_statistics import (
        alike_rows,
        change,
        spectral_norm,
        statistics,
    )

    named = list(context.model.named_parameters())
    matrices = weight_matrices(context.model, named)
    previous, other = _previous(context, [name for name, _ in named])
    initial = context.initial or {}
    rows: list[dict[str, Any]] = []
    for done, (name, weight) in enumerate(named):
        context.progress(done, len(named), bare_name(name))
        row = {"name": bare_name(name), "shape": list(weight.shape), **statistics(weight)}
        row["change"] = change(weight, previous[name]) if name in previous else None
        row["spectral_norm"] = spectral_norm(weight, context.seed)
        fresh = statistics(initial[name]) if name in initial else {}
        row["initial_std"], row["initial_norm"] = fresh.get("std"), fresh.get("norm")
        row["alike"] = matrices[done] and alike_rows(weight)
        row["matrix"] = matrices[done]
        row["trains"] = weight.requires_grad
        rows.append(row)
    context.progress(len(named), len(named), "layers")
    result = {
        "layers": rows,
        "compared_with": None if other is None else str(other[0]),
        "compared_step": None if other is None else other[1],
    }
    return Outcome(result=result, findings=_judge(context, rows))


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a parameter."""
    rows = result["layers"]
    width = max((len(row["name"]) for row in rows), default=0)
    numel = sum(math.prod(row["shape"]) for row in rows)
    lines = [f"{counted(len(rows), 'layer')}, {counted(numel, 'parameter')}"]
    if result["compared_with"] is not None:
        step = result["compared_step"]
        at = "" if step is None else f" (step {step})"
        lines.append(f"change since {Path(result['compared_with']).name}{at}")
    for row in rows:
        shape = "x".join(str(length) for length in row["shape"]) or "scalar"
        line = f"{row['name']:<{width}}  {shape:<12}"
        line += f"  std {_short(row['std'])} (fresh {_short(row['initial_std'])})"
        line += f"  norm {_short(row['norm'])}  spectral {_short(row['spectral_norm'])}"
        line += f"  small {_short(row['small_fraction'])}  change {_short(row['change'])}"
        lines.append(f"{line.rstrip()}  {row['nan']} NOT FINITE" if row["nan"] else line.rstrip())
    return lines


def _short(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3g'):<8}"


def _previous(
    context: Context, names: Sequence[str]
) -> tuple[dict[str, torch.Tensor], tuple[Path, int | None] | None]:
    """The parameters of the checkpoint to compare with, by name, on the CPU, and which it is."""
    from traintop.analyses.checkpoints import load_into, read_checkpoint
    from traintop.analyses.context import AnalysisFailedError
    from traintop.analyses.saved_weights import SavedWeights
    from traintop.analyses.weight_statistics import whole

    path = context.compare[0] if context.compare else _checkpoint_before(context.checkpoint)
    if path is None:
        return {}, None
    saved = SavedWeights(context.model)
    try:
        state = read_checkpoint(path)
        load_into(context.model, state, path)
    except AnalysisFailedError as error:
        if context.compare:
            raise
        context.log(f"not compared with the checkpoint before: {error}")
        return {}, None
    held = dict(context.model.named_parameters())
    values = {name: whole(held[name].detach()).cpu().clone() for name in names}
    saved.restore()
    return values, (path, state.step)


def _checkpoint_before(path: Path | None) -> Path | None:
    """The checkpoint with the next lower step, among those that are kept alike."""
    from traintop.analyses.checkpoints import step_from_name

    step = None if path is None else step_from_name(path)
    if path is None or step is None:
        return None
    beside = [each for each in _listed(path.parent) if each.suffix == path.suffix]
    in_folders = [each / path.name for each in _listed(path.parent.parent)]
    steps = {
        each: found
        for each in (*beside, *in_folders)
        if (found := step_from_name(each)) is not None and found < step and os.path.exists(each)  # noqa: PTH110 - Path.exists raises where a folder is closed to us
    }
    return max(steps, key=lambda each: (steps[each], each), default=None)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where that may not be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _judge(context: Context, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = (
        _nonfinite(context, rows),
        _alike(context, rows),
        _start(context, rows),
        _still(context, rows),
        _shrunk(context, rows),
    )
    return [each for each in found if each is not None]


def _evidence(context: Context, what: str, value: float, threshold: float) -> dict[str, Any]:
    return {"what": what, "value": value, "threshold": threshold, "step": context.step}


def _nonfinite(context: Context, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    hit = [row for row in rows if row["nan"]]
    if not hit:
        return None
    return finding(
        "nan_inf",
        "critical",
        f"{len(hit)} of {len(rows)} layers hold weights that are not finite",
        step=context.step,
        layers=[row["name"] for row in hit],
        evidence=[_evidence(context, f"not finite in {r['name']}", r["nan"], 0) for r in hit],
        next=[{"do": "Run it on an earlier checkpoint", "analysis": "nan_source"}],
    )


def _alike(context: Context, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    hit = [row for row in rows if row["alike"]]
    if not hit:
        return None
    return finding(
        "bad_initialization",
        "warning",
        f"All units of {hit[0]['name']} are the same ({counted(len(hit), 'layer')})",
        step=context.step,
        layers=[row["name"] for row in hit],
        evidence=[_evidence(context, "layers whose units are all the same", len(hit), 0)],
        causes=[
            {
                "cause": "initialised with one constant",
                "because": "units that begin the same get the same gradient, and stay the same",
            }
        ],
        next=[{"do": "Gradient flow through the layers", "analysis": "gradient_flow"}],
    )


def _start(context: Context, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Fresh weights whose spread is far from 1 / sqrt(inputs)."""
    if context.checkpoint is not None and context.step != FRESH_STEPS:
        return None
    gains = {
        row["name"]: row["std"] * math.sqrt(math.prod(row["shape"][1:]))
        for row in rows
        if row["matrix"] and row["std"]
    }
    hit = {name: gain for name, gain in gains.items() if not START_LOW <= gain <= START_HIGH}
    if not hit:
        return None
    words = "large" if next(iter(hit.values())) > START_HIGH else "small"
    return finding(
        "bad_initialization",
        "warning",
        f"The fresh weights of {next(iter(hit))} are too {words} ({counted(len(hit), 'layer')})",
        step=context.step,
        layers=list(hit),
        evidence=[
            _evidence(
                context,
                f"standard deviation of {name} times sqrt(inputs)",
                gain,
                START_HIGH if gain > START_HIGH else START_LOW,
            )
            for name, gain in hit.items()
        ],
        next=[{"do": "Gradient flow through the layers", "analysis": "gradient_flow"}],
    )


def _still(context: Context, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Layers that train and have not moved at all, while others have."""
    known = [row for row in rows if row["trains"] and row["change"] is not None]
    hit = [row for row in known if row["change"] == 0]
    if not hit or len(hit) == len(known):
        return None
    return finding(
        "frozen_params",
        "warning",
        f"Since the checkpoint before, {counted(len(hit), 'layer')} did not move, "
        f"{hit[0]['name']} first",
        step=context.step,
        layers=[row["name"] for row in hit],
        evidence=[_evidence(context, "layers that have not moved", len(hit), 0)],
        causes=[
            {
                "cause": "not in the optimizer, or without a gradient",
                "because": "they ask for a gradient, and not one bit of them has changed",
            }
        ],
        next=[{"do": "Gradient flow through the layers", "analysis": "gradient_flow"}],
    )


def _shrunk(context: Context, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Advice: without the loss nothing says that it harms."""
    shares = [
        row["norm"] / row["initial_norm"]
        for row in rows
        if row["matrix"] and row["norm"] is not None and row["initial_norm"]
    ]
    if not shares or context.checkpoint is None or median(shares) >= SHRUNK:
        return None
    return finding(
        "weight_decay_too_high",
        "info",
        f"The weights have shrunk to {median(shares):.0%} of a fresh model's",
        step=context.step,
        evidence=[
            _evidence(context, "median norm over that of a fresh model", median(shares), SHRUNK)
        ],
    )
