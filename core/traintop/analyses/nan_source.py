"""NaN source: the weights, the input, the module or the backward operation that NaNs come from.

Weights are looked at first. Then batches are run forward and backward, and the model is trained on
with the target's optimizer, until a loss, a gradient or a weight is not finite. That step is done
again with the same random numbers, and every operation of it is traced (`nonfinite_trace`). What
Hugging Face's `DebugUnderflowOverflow` prints by module, and torch's anomaly mode by backward
function, is followed here to the operation and its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import NO_BATCH, draw, move, one_pass
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, finding
from traintop.analyses.target_optimizer import build_optimizer

if TYPE_CHECKING:
    import torch

    from traintop.analyses.nonfinite_trace import Origin

REMEDIES = {
    "log": "log(x.clamp_min(1e-8)), or log_softmax and logsigmoid for probabilities",
    "rsqrt": "rsqrt(x + 1e-8)",
    "sqrt": "sqrt(x + 1e-8): at 0 its derivative is infinite",
    "div": "divide by x.clamp_min(1e-8), or by n >= 1",
    "reciprocal": "divide by x.clamp_min(1e-8)",
    "pow": "x.clamp_min(1e-8) before a power that is no whole number",
    "exp": "exp(x.clamp_max(80)), or logsumexp and softplus",
    "acos": "acos(x.clamp(-1 + 1e-6, 1 - 1e-6)): at 1 its derivative is infinite",
    "norm": "(x.square().sum() + 1e-12).sqrt(): at 0 a norm has no derivative",
    "softmax": "leave no row masked wholly: take a large negative number instead of -inf",
}
"""By a part of the operation's name: what usually keeps it finite."""
LISTED = 20
"""Names of weights, or samples, that are written out."""


def run(context: Context) -> Outcome:
    """Look for the first number that is not finite.

    Raises:
        AnalysisFailedError: No data, no loss, a bad option, or sharded weights.
    """
    from traintop.analyses.nonfinite_step import Step, nonfinite_weights

    if context.ranks.sharded:
        raise AnalysisFailedError("nan_source cannot look at sharded weights: leave --shard out")
    wanted = int(context.number("batches"))
    if wanted < 1:
        raise AnalysisFailedError(f"batches must be at least 1, not {wanted}")
    context.progress(0, 0, "weights")
    bad = nonfinite_weights(context.model)
    if bad:
        return _outcome(context, bad[0], [each.what for each in bad], looked=0)
    context.model.train()
    optimizer = _optimizer(context)
    looked = 0
    for batch in islice(_batches(context, endless=optimizer is not None), wanted):
        context.progress(looked, wanted, "batches")
        step = Step(context, move(batch, context.device), context.seed + looked)
        surfaced = step.surfaces()
        looked += 1
        if surfaced is not None:
            context.progress(looked, wanted, f"tracing batch {looked - 1}")
            origin = step.trace()
            samples = step.samples(origin)
            number = _number(context.target.train, batch, looked - 1)
            return _outcome(
                context,
                origin,
                [origin.module],
                looked=looked,
                surfaced=surfaced,
                batch=number,
                samples=samples,
            )
        if optimizer is not None:
            try:
                optimizer.step()
            except Exception as error:  # noqa: BLE001 - the user's optimizer may fail in any way
                context.log(f"not trained on: {type(error).__name__}: {error}")
                optimizer = None
                continue
            bad = nonfinite_weights(context.model)
            if bad:
                what = [each.what for each in bad]
                return _outcome(context, bad[0], what, looked=looked, surfaced="update")
    context.progress(looked, looked, "batches")
    if not looked:
        raise AnalysisFailedError(NO_BATCH)
    return _outcome(context, None, (), looked=looked)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    looked, trained = result["looked"], result["trained"]
    over = f"{looked} batch{'es' * (looked != 1)}, forward and backward" + (
        ", trained on" if trained else ""
    )
    if not result["found"]:
        return [f"all weights, losses and gradients are finite over {over}"]
    kind, what = result["kind"], result["what"]
    where = f"in {result['module'] or 'the model itself'}"
    lines = [f"{_sign(kind)} from {what} {where}, {result['phase']}"]
    if result["phase"] in ("input", "weights"):
        lines = [f"{_sign(kind)} in the {result['phase']}: {what}"]
    if result["line"] is not None:
        lines.append(f"at {result['line']}")
    for stats in result["input_stats"]:
        shape = "x".join(str(length) for length in stats["shape"]) or "scalar"
        span = "-" if stats["min"] is None else f"{stats['min']:.4g} to {stats['max']:.4g}"
        lines.append(
            f"  given {shape} {stats['dtype']}: {span}, {stats['nan']} NaN, {stats['inf']} infinite"
        )
    if result["batch"] is not None:
        lines.append(f"batch {result['batch']}; seen in the {result['surfaced']}; {over}")
    if result["samples"]:
        listed = ", ".join(str(at) for at in result["samples"][:LISTED])
        lines.append(f"samples of the batch that make it: {listed}")
    if result["surfaced"] == "update":
        lines.append(f"made by the optimizer's step after {over}")
    return lines


def _sign(kind: str) -> str:
    return "NaN" if kind == "nan" else "infinity"


def _optimizer(context: Context) -> torch.optim.Optimizer | None:
    if not context.number("train") or context.target.optimizer is None:
        return None
    return build_optimizer(context, context.model.parameters(), context.optimizer_state)


def _batches(context: Context, *, endless: bool) -> Iterator[Any]:
    """Training goes round and round; without it a second pass would show nothing new."""
    data = context.target.train or ()
    return draw(data, context.seed) if endless else one_pass(data, context.seed)


def _number(data: Iterable[Any] | None, batch: Any, drawn: int) -> int:
    """The place of the batch in a list, else how many were drawn before it."""
    if isinstance(data, list | tuple):
        return next((at for at, each in enumerate(data) if each is batch), drawn)
    return drawn


def _outcome(
    context: Context,
    origin: Origin | None,
    layers: Sequence[str],
    *,
    looked: int,
    surfaced: str | None = None,
    batch: int | None = None,
    samples: Sequence[int] | None = None,
) -> Outcome:
    trained = bool(context.number("train")) and context.target.optimizer is not None
    result = {
        "found": origin is not None,
        "module": None if origin is None else origin.module,
        "phase": None if origin is None else origin.phase,
        "kind": None if origin is None else origin.kind,
        "what": None if origin is None else origin.what,
        "line": None if origin is None else origin.line,
        "input_stats": [] if origin is None else list(origin.inputs),
        "batch": batch,
        "samples": None if samples is None else list(samples),
        "surfaced": surfaced,
        "looked": looked,
        "trained": trained,
    }
    if origin is None:
        return Outcome(result=result)
    return Outcome(result=result, findings=[_finding(context, origin, layers, result)])


def _finding(
    context: Context, origin: Origin, layers: Sequence[str], result: Mapping[str, Any]
) -> dict[str, Any]:
    sign = _sign(origin.kind)
    where = origin.module or "the model itself"
    title, because = {
        "weights": (f"{sign} in the weights, {origin.what} first", "the weights hold it"),
        "input": (f"{sign} in the input: {origin.what}", "the batch holds it"),
    }.get(
        origin.phase,
        (
            f"{sign} from {origin.what} in {where}, {origin.phase}",
            f"its inputs are finite, its output is not; at {origin.line or 'an unknown line'}",
        ),
    )
    steps = [
        {"do": f"guard it: {advice}"}
        for part, advice in REMEDIES.items()
        if origin.phase in ("forward", "backward") and part in origin.what.lower()
    ][:1]
    if origin.phase == "weights":
        do = "look at the last checkpoint whose weights are finite"
        steps = [{"do": do, "analysis": "nan_source"}]
    if origin.phase == "input":
        steps = [{"do": "Look for bad values in the data", "analysis": "data"}]
    stats = result["input_stats"]
    return finding(
        "nan_inf",
        "critical",
        title,
        step=context.step,
        layers=[layer for layer in layers if layer],
        evidence=[
            {
                "what": f"numbers that are not finite in what {origin.what} is given"
                if origin.phase in ("forward", "backward")
                else "numbers that are not finite",
                "value": sum(each["nan"] + each["inf"] for each in stats),
                "threshold": 0,
                "step": context.step,
            }
        ],
        causes=[{"cause": f"{origin.what} ({origin.phase})", "because": because}],
        next=steps,
    )
