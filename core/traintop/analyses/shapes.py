"""Shapes and parameters: one batch traced through the modules, as torchinfo's table shows them.

What does not fit is explained: a module that cannot take its input, an output that does not go with
the labels or the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from traintop.analyses.batches import NO_BATCH, forward, loss_of, move, one_pass
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, counted, finding
from traintop.analyses.target import describe

if TYPE_CHECKING:
    from traintop.analyses.loss_checks import Fault
    from traintop.analyses.loss_watch import LossCall
    from traintop.analyses.shape_trace import ShapeTrace


def run(context: Context) -> Outcome:
    """Run a batch through the model and its loss, and note the shapes.

    Raises:
        AnalysisFailedError: There is no batch, or the target's own code fails before the model.
    """
    import torch

    from traintop.analyses.shape_trace import ShapeTrace, count, rows

    batches = list(islice(one_pass(context.target.train or (), context.seed), 1))
    if not batches:
        raise AnalysisFailedError(NO_BATCH)
    batch = move(batches[0], context.device)
    context.progress(0, 1, "one batch")
    # In evaluation mode batch norm takes a single sample, and torch would run a transformer layer
    # as one fused call.
    torch.backends.mha.set_fastpath_enabled(False)
    context.model.eval()
    error: dict[str, Any] | None = None
    found: list[dict[str, Any]] = []
    with torch.no_grad(), ShapeTrace(context.model) as trace:
        try:
            fault = _pass(context, batch)
        except AnalysisFailedError:
            raise
        except Exception as raised:  # noqa: BLE001 - whatever the model raises is to be explained
            error = _explained(trace, raised)
            found.append(_of_error(context, error))
        else:
            if fault is not None:
                error = _misfit(trace, fault)
                found.append(_of_fault(context, fault, error))
    context.progress(1, 1, "one batch")
    modules = rows(trace, context.model)
    result = {
        "modules": modules,
        "parameters": count(context.model),
        "trainable": count(context.model, trainable=True),
        "not_called": [row["name"] for row in modules if not row["calls"]],
        "error": error,
    }
    return Outcome(result=result, findings=found)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a module."""
    modules, error = result["modules"], result["error"]
    counts = f"{result['parameters']:,} parameters, {result['trainable']:,} of them trained"
    lines = [f"{counts}, in {counted(len(modules), 'module')}"]
    if error is not None:
        lines.append(f"{error['module'] or 'the loss'}: {error['text']}")
        lines += [f"try: {error['fix']}"] if error["fix"] else []
    names = ["  " * _depth(row["name"]) + (row["name"] or "(model)") for row in modules]
    width = max(map(len, names), default=0)
    kinds = max((len(row["type"]) for row in modules), default=0)
    for name, row in zip(names, modules, strict=True):
        shapes = f"{shape_text(row['input'])} -> {shape_text(row['output'])}"
        if not row["calls"]:
            shapes = "not called"
        own = f"  {row['parameters']:,}" if row["parameters"] else ""
        times = f"  {row['calls']} times" if row["calls"] > 1 else ""
        lines.append(f"{name:<{width}}  {row['type']:<{kinds}}  {shapes}{own}{times}")
    return lines


def shape_text(shapes: Any) -> str:
    """A shape, or several: `64x10`, `64x10, 64x3`; `?` where there is none."""
    if not isinstance(shapes, list):
        return "?"
    sizes = cast("Sequence[Any]", shapes)
    if sizes and isinstance(sizes[0], list):
        return ", ".join(map(shape_text, sizes))
    return "x".join(map(str, sizes)) or "scalar"


def _depth(name: str) -> int:
    return name.count(".") + 1 if name else 0


def _pass(context: Context, batch: Any) -> Fault | None:
    """Run the batch through model and loss; return what is wrong between the two."""
    from traintop.analyses.loss_checks import shape_fault, target_fault
    from traintop.analyses.loss_watch import LossWatch, StopWatchingError

    faults: list[Fault] = []

    def before(call: LossCall) -> None:
        fault = shape_fault(call) or target_fault(call)
        if fault is not None:
            faults.append(fault)
            raise StopWatchingError

    if context.target.loss is None and context.target.step is None:
        forward(context.target, context.model, batch)
        return None
    try:
        with LossWatch(before):
            loss_of(context.target, context.model, batch)
    except StopWatchingError:
        return faults[0]
    return None


def _explained(trace: ShapeTrace, raised: Exception) -> dict[str, Any]:
    """Why the pass ended with an exception.

    Raises:
        AnalysisFailedError: It did so before the model was called.
    """
    from traintop.analyses.shape_errors import explain, explain_type
    from traintop.analyses.shape_trace import shapes_of, tensors_of

    if not trace.calls:
        raise AnalysisFailedError(f"the target failed before its model: {describe(raised)}")
    message = str(raised).strip().splitlines()
    failed = trace.failed
    error: dict[str, Any] = {
        "module": failed.name or type(failed.module).__name__ if failed is not None else None,
        "type": type(failed.module).__name__ if failed is not None else "loss",
        "input": shapes_of(failed.inputs) if failed is not None else None,
        "text": f"{type(raised).__name__}: {message[0] if message else ''}",
        "fix": "",
        "message": f"{type(raised).__name__}: {raised}",
    }
    given = tensors_of(failed.inputs) if failed is not None else []
    if failed is not None and given:
        advice = explain_type(failed.module, given[0]) or explain(failed.module, given[0])
        if advice is not None:
            error["text"], error["fix"] = advice
    return error


def _misfit(trace: ShapeTrace, fault: Fault) -> dict[str, Any]:
    """An output that does not go with the labels, with the layer that it comes from."""
    last = next((call for call in reversed(trace.calls) if _has_parameters(call.module)), None)
    return {
        "module": last.name if last is not None else None,
        "type": type(last.module).__name__ if last is not None else "loss",
        "input": last.input if last is not None else None,
        "text": fault.text,
        "fix": fault.fix,
        "message": fault.text,
    }


def _has_parameters(module: Any) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _of_error(context: Context, error: Mapping[str, Any]) -> dict[str, Any]:
    where = error["module"] or "the loss"
    return finding(
        "shape_mismatch",
        "critical",
        f"{where} ({error['type']}) fails: {error['text']}",
        step=context.step,
        evidence=[
            {
                "what": f"axes of the input of {where}",
                "value": len(error["input"] or []),
                "threshold": None,
                "step": context.step,
            }
        ],
        layers=[where] if error["module"] else [],
        causes=[{"cause": error["text"], "because": error["message"].splitlines()[0]}],
        next=[{"do": error["fix"]}] if error["fix"] else [],
    )


def _of_fault(context: Context, fault: Fault, error: Mapping[str, Any]) -> dict[str, Any]:
    return finding(
        fault.id,
        fault.severity,
        fault.title,
        step=context.step,
        evidence=[
            {
                "what": fault.what,
                "value": fault.value,
                "threshold": fault.threshold,
                "step": context.step,
            }
        ],
        layers=[error["module"]] if error["module"] else [],
        next=[{"do": fault.fix}],
    )
