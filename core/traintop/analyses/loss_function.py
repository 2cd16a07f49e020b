"""The loss function: whether it fits the model's output and the labels, and where it starts.

A model that knows nothing scores ln C under cross-entropy (Karpathy, "A Recipe for Training Neural
Networks", 2019: verify the loss at initialisation). What else is checked is in `loss_checks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import NO_BATCH, loss_of, move, one_pass, size
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, finding
from traintop.analyses.ranks import laid_out_as

if TYPE_CHECKING:
    import torch

    from traintop.analyses.loss_checks import Fault
    from traintop.analyses.loss_look import Look

START_LOSS = 2.0
"""Multiple of the loss of guessing that the first loss exceeds: the detector `bad_initialization`
uses the same. Default initialisations stay below 1.5."""
LOW_START = 0.5
"""Share of the loss of guessing below which a model knows something before any training."""

Remark = tuple[str, dict[str, Any] | None]
"""A warning, and the finding that it makes."""


def run(context: Context) -> Outcome:
    """Run a few batches through model and loss, and look at what the loss is given.

    Raises:
        AnalysisFailedError: There is no data, no loss, or no batch.
    """
    from traintop.analyses.loss_look import look_at, look_at_labels
    from traintop.analyses.saved_weights import SavedWeights

    wanted = int(context.number("batches"))
    if wanted < 1:
        raise AnalysisFailedError(f"batches must be at least 1, not {wanted}")
    batches = [
        move(batch, context.device)
        for batch in islice(one_pass(context.target.train or (), context.seed), wanted)
    ]
    if not batches:
        raise AnalysisFailedError(NO_BATCH)
    saved = SavedWeights(context.model)
    present = look_at(context, batches, "batches")
    if present.refused is None:
        look_at_labels(context, present, batches[0], int(context.number("labels")))
    saved.restore()
    spoilt = present.log_zeros > 0 and _spoilt_gradient(context, batches)
    saved.restore()
    start: Look | None = present
    if context.checkpoint is not None:
        start = None
        if context.initial is not None:
            _put(context.model, context.initial)
            start = look_at(context, batches, "batches, weights as they were built")
            saved.restore()
    return _outcome(context, present, start, spoilt)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    names = ", ".join(result["functions"]) or "a loss of its own"
    lines = [f"{names} over {result['batches']} batches"]
    initial, expected = result["initial_loss"], result["expected_initial_loss"]
    if initial is not None:
        of = f", of guessing {expected:.4g}" if expected is not None else ""
        classes = f" ({result['classes']} classes)" if of and result["classes"] else ""
        lines.append(f"initial loss {initial:.4g}{of}{classes}")
    if result["loss"] is not None and result["loss"] != initial:
        lines.append(f"loss with the checkpoint's weights {result['loss']:.4g}")
    if result["output_range"] is not None:
        low, high = result["output_range"]
        like = (result["looks_like"] or "values").replace("_", " ")
        lines.append(f"outputs {low:.4g} to {high:.4g}: {like}")
    return lines + (result["warnings"] or ["nothing wrong with the loss function"])


def _spoilt_gradient(context: Context, batches: Sequence[Any]) -> bool:
    """Whether a gradient of any batch is not finite."""
    parameters = list(context.model.parameters())
    for batch in batches:
        context.model.train(size(batch) != 1)
        context.model.zero_grad(set_to_none=True)
        loss = loss_of(context.target, context.model, batch)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not all(bool(grad.isfinite().all()) for grad in grads):
            return True
    return False


def _put(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(laid_out_as(parameter, weights[name]))


def _outcome(context: Context, present: Look, start: Look | None, spoilt: bool) -> Outcome:
    initial = _mean(start.losses) if start is not None else None
    expected = _mean((start or present).expected)
    kinds = sorted(set(present.kinds))
    lows, highs = zip(*present.ranges, strict=True) if present.ranges else ((), ())
    remarks = [_of_fault(context, fault) for fault in present.faults]
    remarks += _not_finite(context, present, spoilt)
    if not present.faults:
        remarks += _level(initial, expected)
    return Outcome(
        result={
            "initial_loss": initial,
            "expected_initial_loss": expected,
            "output_range": [min(lows), max(highs)] if lows else None,
            "looks_like": ", ".join(kinds) or None,
            "warnings": [text for text, _ in remarks],
            "loss": _mean(present.losses),
            "functions": sorted(present.functions),
            "classes": present.classes,
            "batches": len(present.losses),
        },
        findings=[found for _, found in remarks if found is not None],
    )


def _of_fault(context: Context, fault: Fault) -> Remark:
    evidence = {
        "what": fault.what,
        "value": fault.value,
        "threshold": fault.threshold,
        "step": context.step,
    }
    found = finding(
        fault.id,
        fault.severity,
        fault.title,
        step=context.step,
        evidence=[evidence],
        causes=[{"cause": fault.text, "because": f"{fault.what}: {fault.value:.4g}"}],
        next=[{"do": fault.fix}],
    )
    return f"{fault.text}: {fault.fix}", found


def _not_finite(context: Context, look: Look, spoilt: bool) -> list[Remark]:
    """A loss or a gradient that is NaN or infinite, and a logarithm that may make it so."""
    bad = sum(not math.isfinite(loss) for loss in look.losses)
    of = f"a logarithm of {look.log_zeros} values of zero or below"
    fix = "take cross_entropy of the logits, or log_softmax; else add 1e-8 before the logarithm"
    if bad or spoilt:
        what = "losses" if bad else "gradients"
        if look.bad_outputs:
            cause = f"{look.bad_outputs} outputs of the model are NaN or infinite"
        elif look.log_zeros:
            cause = f"log(0): {of}"
        else:
            cause = "the loss itself: its inputs are finite"
        test = {"do": "find the module that makes them", "analysis": "nan_source"}
        found = finding(
            "nan_inf",
            "critical",
            f"NaN or infinite {what}: {cause}",
            step=context.step,
            evidence=[
                {
                    "what": f"batches with NaN or infinite {what}",
                    "value": bad or 1,
                    "threshold": 0,
                    "step": context.step,
                }
            ],
            causes=[{"cause": cause, "because": "measured in the loss of these batches"}],
            next=[{"do": fix}] if look.log_zeros and not look.bad_outputs else [test],
        )
        return [(f"{what} are NaN or infinite: {cause}", found)]
    if look.log_zeros:
        return [(f"{of}, without a consequence", None)]
    if look.log_of is None:
        return []
    text = f"a logarithm of the bare {look.log_of} becomes log(0) once the model is sure"
    found = finding(
        "wrong_loss",
        "warning",
        f"log of {look.log_of}: log(0) once the model is sure",
        step=context.step,
        evidence=[
            {
                "what": f"logarithm of {look.log_of} without a guard",
                "value": 1,
                "threshold": 0,
                "step": context.step,
            }
        ],
        next=[{"do": fix}],
    )
    return [(f"{text}: {fix}", found)]


def _level(initial: float | None, expected: float | None) -> list[Remark]:
    """The first loss beside that of guessing."""
    if initial is None or expected is None or not expected > 0:
        return []
    if initial < LOW_START * expected:
        text = "pretrained weights, or the inputs hold the label"
        return [(f"initial loss {initial:.4g} is far below {expected:.4g}: {text}", None)]
    if initial <= START_LOSS * expected:
        return []
    text = f"initial loss {initial:.4g} is over {START_LOSS:g} times that of guessing"
    found = finding(
        "bad_initialization",
        "warning",
        f"The first loss is {initial:.4g}, of guessing it is {expected:.4g}",
        step=0,
        evidence=[
            {
                "what": "initial loss over that of guessing",
                "value": initial / expected,
                "threshold": START_LOSS,
                "step": 0,
            }
        ],
        causes=[
            {
                "cause": "the last layer's weights are too large, or the inputs are not normalised",
                "because": "the model is sure of what it cannot know yet",
            }
        ],
        next=[{"do": "look at the range of the inputs", "analysis": "data"}],
    )
    return [(f"{text}, {expected:.4g}", found)]


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None
