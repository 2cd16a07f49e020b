"""Gradient flow: what gradient reaches each layer, and how far the optimizer's next step moves it.

Batches are run through the model in training mode, from the same seed for every checkpoint, so that
checkpoints differ by their weights alone. Gradients are those before clipping. The rules and their
sources are in `gradient_status`, what is made of them in `gradient_findings`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traintop.analyses import gradient_status
from traintop.analyses.batches import NO_BATCH, loss_of, move, one_pass
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.gradient_findings import Flow, judge
from traintop.analyses.saved_weights import SavedWeights
from traintop.analyses.target_optimizer import build_optimizer

if TYPE_CHECKING:
    import torch

BAD = ("nan", "none", "zero", "vanishing", "exploding")


def run(context: Context) -> Outcome:
    """Measure each checkpoint in turn.

    Raises:
        AnalysisFailedError: No data, no loss, a bad option, or a checkpoint that cannot be loaded.
    """
    from traintop.analyses.checkpoints import load_into, read_checkpoint

    count = int(context.number("batches"))
    if count < 1:
        raise AnalysisFailedError(f"batches must be at least 1, not {count}")
    total = count * (1 + len(context.compare))
    saved = SavedWeights(context.model)
    flows = [_measure(context, context.checkpoint, context.step, context.optimizer_state, 0, total)]
    for place, path in enumerate(context.compare, 1):
        saved.restore()
        state = read_checkpoint(path)
        load_into(context.model, state, path)
        flows.append(_measure(context, path, state.step, state.optimizer, place * count, total))
    saved.restore()
    result = {
        "layers": _rows(flows[0]),
        "batches": count,
        "checkpoints": [
            {
                "checkpoint": flow.checkpoint,
                "step": flow.step,
                "loss": flow.loss,
                "grad_norm": gradient_status.total_norm(flow.layers),
                "layers": _rows(flow),
            }
            for flow in flows
        ],
    }
    return Outcome(result=result, findings=judge(flows))


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a layer, a column a checkpoint."""
    checkpoints = result["checkpoints"]
    lines: list[str] = []
    for each in checkpoints:
        wrong = [row for row in each["layers"] if row["status"] in BAD]
        loss, norm = (
            "not finite" if each[key] is None else f"{each[key]:.4g}"
            for key in ("loss", "grad_norm")
        )
        at = "the model as it is" if each["step"] is None else f"step {each['step']}"
        lines.append(
            f"{at}: gradient norm {norm}, loss {loss}; "
            f"{len(wrong)} of {len(each['layers'])} layers stand out"
        )
    width = max((len(row["name"]) for row in result["layers"]), default=0)
    columns = [{row["name"]: row for row in each["layers"]} for each in checkpoints]
    for row in result["layers"]:
        cells = [_cell(column[row["name"]]) for column in columns]
        lines.append(f"{row['name']:<{width}}  " + "  ".join(cells).rstrip())
    return lines


def _cell(row: Mapping[str, Any]) -> str:
    norm, ratio = row["grad_norm"], row["update_ratio"]
    size = "-" if norm is None else f"{norm:.2e}"
    step = "-" if ratio is None else f"{ratio:.1e}"
    return f"{row['status']:<9} gradient {size:<8}  update {step:<7}"


def _rows(flow: Flow) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for layer, status in zip(flow.layers, flow.statuses, strict=True):
        row = asdict(layer)
        del row["trains"], row["judged"]
        rows.append(row | {"status": status})
    return rows


def _measure(
    context: Context,
    checkpoint: Path | None,
    step: int | None,
    optimizer_state: Mapping[str, Any] | None,
    done: int,
    total: int,
) -> Flow:
    """Run the batches through the weights that the model holds now."""
    from traintop.analyses.gradient_tally import GradientTally
    from traintop.analyses.model_order import CallOrder, weight_matrices
    from traintop.analyses.weight_statistics import norm_of

    model = context.model
    what = "batches" if step is None else f"batches at step {step}"
    tally: GradientTally | None = None
    parameters: list[torch.nn.Parameter] = []
    losses: list[float] = []
    model.train()
    context.progress(done, total, what)
    count = int(context.number("batches"))
    for batch in islice(one_pass(context.target.train or (), context.seed), count):
        model.zero_grad(set_to_none=True)
        with CallOrder(model) as order:
            share = context.ranks.share(move(batch, context.device))
            loss = loss_of(context.target, model, share.batch)
        weighted = loss * context.ranks.weight(share)
        weighted.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        context.ranks.average_gradients(model)
        if tally is None:
            named = order.parameters()
            parameters = [parameter for _, parameter in named]
            tally = GradientTally(named, weight_matrices(model, named))
        tally.add()
        losses.append(context.ranks.mean(float(loss.detach()), share))
        context.progress(done + len(losses), total, what)
    if tally is None:
        raise AnalysisFailedError(NO_BATCH)
    weights = [norm_of(parameter) for parameter in parameters]
    ratios, rate, fresh = _update(context, parameters, weights, optimizer_state)
    layers = tally.layers(ratios, weights)
    mean = sum(losses) / len(losses)
    return Flow(
        checkpoint=None if checkpoint is None else str(checkpoint),
        step=step,
        loss=mean if math.isfinite(mean) else None,
        layers=layers,
        statuses=gradient_status.statuses(layers),
        learning_rate=rate,
        fresh=fresh,
    )


def _update(
    context: Context,
    parameters: Sequence[torch.nn.Parameter],
    weights: Sequence[float],
    state: Mapping[str, Any] | None,
) -> tuple[list[float | None], float | None, bool]:
    """Let the target's optimizer take one step with the gradients of the last batch.

    Returns:
        For each parameter the norm of the step over that of the weights; the highest learning rate,
        None where no step was made; whether the optimizer began without state.
    """
    import torch

    from traintop.analyses.gradient_tally import dense
    from traintop.analyses.weight_statistics import norm_of

    none: list[float | None] = [None] * len(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if context.target.optimizer is None or not all(
        bool(dense(g).isfinite().all()) for g in gradients
    ):
        return none, None, True
    before = [parameter.detach().clone() for parameter in parameters]
    for given in (state, None) if state is not None else (None,):
        try:
            # Its state goes by the order of the model, not by that of the calls.
            optimizer = build_optimizer(context, context.model.parameters(), given)
            optimizer.step()
        except Exception as error:  # noqa: BLE001 - the user's optimizer may fail in any way
            reason = str(error).split("\n", maxsplit=1)[0]
            kind = "a fresh optimizer" if given is None else "the checkpoint's optimizer state"
            context.log(f"no step with {kind}: {type(error).__name__}: {reason}")
            with torch.no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.copy_(value)
            continue
        moved = [norm_of(now.detach() - then) for now, then in zip(parameters, before, strict=True)]
        ratios = [
            step / size if size > 0 and parameter.requires_grad else None
            for step, size, parameter in zip(moved, weights, parameters, strict=True)
        ]
        rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
        return ratios, max(rates, default=0.0), given is None and bool(optimizer.state)
    return none, None, True
