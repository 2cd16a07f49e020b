"""Gradient check: does `backward()` give the derivative of the loss?

For a few elements of each parameter (those with the largest gradient, and some by chance) the
gradient is compared with central differences, in double precision and training mode, with the same
random numbers for every evaluation. After TheDeepChecker (TOSEM 2022), which samples too, and
`torch.autograd.gradcheck`, whose relative tolerance of 1e-3 is taken; in double precision the error
of a right gradient is near 1e-8.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from traintop.analyses.batches import NO_BATCH, move, one_pass
from traintop.analyses.central_difference import ROUNDING, Comparison, compare
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, counted, finding
from traintop.analyses.samples import count, pick

if TYPE_CHECKING:
    import torch

    from traintop.analyses.double_precision import RepeatedLoss


@dataclass(kw_only=True)
class _Row:
    """What was found of one parameter."""

    name: str
    connected: bool
    """Whether backward() left a gradient at all."""
    comparisons: list[tuple[int, Comparison]] = field(default_factory=list[tuple[int, Comparison]])
    """By the index of the element in the flattened parameter."""

    @property
    def worst(self) -> tuple[int, Comparison]:
        """The element with the largest error."""
        return max(self.comparisons, key=lambda each: each[1].relative_error)


def run(context: Context) -> Outcome:
    """Check every parameter that asks for a gradient.

    Raises:
        AnalysisFailedError: No data, a loss that is not finite or not repeatable, a bad option, or
            sharded weights.
    """
    from traintop.analyses.double_precision import Doubled, RepeatedLoss, doubled_batch

    if context.ranks.sharded:
        raise AnalysisFailedError(
            "gradient_check cannot look at sharded weights: leave --shard out"
        )
    elements, samples = int(context.number("elements")), int(context.number("samples"))
    tolerance = context.number("tolerance")
    if elements < 1 or samples < 1 or not 0 < tolerance < 1:
        raise AnalysisFailedError(
            "elements and samples must be at least 1, and tolerance between 0 and 1"
        )
    model = context.model
    batch = _first_batch(context, samples)
    model.train()
    try:
        with Doubled(model, context.target):
            loss = RepeatedLoss(context.target, model, doubled_batch(batch), context.seed)
            return _check(context, loss, elements, tolerance)
    except (RuntimeError, TypeError) as error:
        # Operations that know no double precision, tensors that the forward pass casts by hand.
        reason = str(error).split("\n", maxsplit=1)[0]
        context.log(f"the model does not run in double precision, so its own is taken: {reason}")
    loss = RepeatedLoss(context.target, model, batch, context.seed)
    return _check(context, loss, elements, tolerance)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text: a line a parameter."""
    rows, tolerance = result["parameters"], result["tolerance"]
    wrong = [row for row in rows if not row["passed"]]
    checked = sum(row["checked"] for row in rows)
    lines = [
        f"{counted(checked, 'element')} of {counted(len(rows), 'parameter')}: "
        + ("all agree" if not wrong else f"{len(wrong)} parameters disagree")
        + f" with central differences (tolerance {tolerance:g})"
    ]
    if result["between"] is not None:
        last, first = result["between"]
        lines.append(
            f"the first wrong backward lies in {last or 'the model'}, or between it and "
            f"{first or 'the loss'}"
        )
    if result["custom_functions"]:
        lines.append(f"custom backward functions: {', '.join(result['custom_functions'])}")
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        error = row["max_relative_error"]
        unknown = "infinite" if row["checked"] else "not known, all elements are at kinks"
        size = unknown if error is None else f"{error:.1e}"
        line = f"{row['name']:<{width}}  {'ok   ' if row['passed'] else 'WRONG'}  error {size}"
        if not row["passed"]:
            line += f"  backward {_short(row['analytic'])}, difference {_short(row['numeric'])}"
        lines.append(line)
    return lines


def _short(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _first_batch(context: Context, samples: int) -> Any:
    """The first samples of a batch: fewer are cheaper, and have fewer kinks."""
    for batch in one_pass(context.target.train or (), context.seed):
        moved = move(batch, context.device)
        try:
            return pick(moved, range(min(samples, count(moved))))
        except AnalysisFailedError:
            return moved  # a batch that cannot be cut
    raise AnalysisFailedError(NO_BATCH)


def _check(context: Context, loss: RepeatedLoss, elements: int, tolerance: float) -> Outcome:
    from traintop.analyses.gradient_tally import dense
    from traintop.analyses.model_order import CallOrder, bare_name

    context.progress(0, 0, "first loss")
    unit = loss.rounding_unit()
    with CallOrder(context.model) as order:
        first = loss.tensor()
    value = float(first.detach())
    if not math.isfinite(value):
        raise AnalysisFailedError(
            f"the loss is {value} before anything is changed: run nan_source on this checkpoint"
        )
    context.model.zero_grad(set_to_none=True)
    first.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    functions = _custom_functions(first)
    if abs(loss.value() - value) > ROUNDING * unit * abs(value):
        raise AnalysisFailedError(
            "the loss differs from one evaluation to the next with the same random numbers: "
            "make the model or the data of the target deterministic"
        )
    named = [
        (name, parameter)
        for name, parameter in order.parameters()
        if parameter.requires_grad and parameter.numel() and not parameter.is_complex()
    ]
    chance = random.Random(context.seed)  # noqa: S311 - which elements to check, no secret
    rows: list[_Row] = []
    for done, (name, parameter) in enumerate(named):
        gradient = parameter.grad
        flat = None if gradient is None else dense(gradient).reshape(-1)
        row = _Row(name=bare_name(name), connected=flat is not None)
        for index in _chosen(flat, parameter.numel(), elements, chance):
            context.progress(done, len(named), row.name)
            row.comparisons.append(
                (
                    index,
                    compare(
                        _shifted(loss, parameter, index),
                        0.0 if flat is None else float(flat[index]),
                        at=float(parameter.detach().reshape(-1)[index]),
                        loss=value,
                        unit=unit,
                        tolerance=tolerance,
                    ),
                )
            )
        rows.append(row)
    context.progress(len(named), len(named), "parameters")
    loss.restore()
    context.model.zero_grad(set_to_none=True)
    return _outcome(context, rows, functions, tolerance)


def _chosen(
    gradient: torch.Tensor | None, numel: int, elements: int, chance: random.Random
) -> list[int]:
    """Half of them with the largest gradients, the others by chance."""
    largest: list[int] = []
    if gradient is not None:
        known = gradient.abs().nan_to_num(nan=math.inf)
        top = known.topk(min((elements + 1) // 2, numel))
        largest = cast("list[int]", top.indices.tolist())
    others = chance.sample(range(numel), min(elements, numel))
    return list(dict.fromkeys([*largest, *others]))[:elements]


def _shifted(
    loss: RepeatedLoss, parameter: torch.nn.Parameter, index: int
) -> Callable[[float], float]:
    """The loss with one element of a parameter moved; the element is put back."""
    import torch

    place = tuple(int(at) for at in np.unravel_index(index, tuple(parameter.shape)))

    def shifted(by: float) -> float:
        data = parameter.data
        kept = data[place].clone()
        try:
            with torch.no_grad():
                data[place] += by
            return loss.value()
        finally:
            with torch.no_grad():
                data[place] = kept

    return shifted


def _custom_functions(loss: torch.Tensor) -> list[str]:
    """The names of the functions in the graph whose backward is written in Python."""
    from torch.autograd.function import BackwardCFunction

    seen: set[Any] = set()
    names: dict[str, None] = {}
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            names[type(node).__name__.removesuffix("Backward")] = None
        waiting += [parent for parent, _ in node.next_functions]
    return list(names)


def _outcome(
    context: Context, rows: Sequence[_Row], functions: Sequence[str], tolerance: float
) -> Outcome:
    wrong = [row for row in rows if not row.worst[1].relative_error <= tolerance]
    result = {
        "parameters": [
            {
                "name": row.name,
                "checked": sum(not each.kink for _, each in row.comparisons),
                "kinks": sum(each.kink for _, each in row.comparisons),
                "max_relative_error": None
                if all(each.kink for _, each in row.comparisons)
                else _finite(row.worst[1].relative_error),
                "element": row.worst[0],
                "analytic": _finite(row.worst[1].analytic),
                "numeric": _finite(row.worst[1].numeric),
                "passed": row not in wrong,
            }
            for row in rows
        ],
        "passed": not wrong,
        "tolerance": tolerance,
        "between": _between(rows, wrong),
        "custom_functions": list(functions),
    }
    return Outcome(result=result, findings=_judge(context, rows, wrong, functions, tolerance))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _between(rows: Sequence[_Row], wrong: Sequence[_Row]) -> list[str | None] | None:
    """The modules between which the backward pass goes wrong.

    A wrong backward spoils the gradients of all that is called before it, and of nothing after it.
    """
    if not wrong:
        return None
    from traintop.analyses.model_order import owner

    last = max(rows.index(row) for row in wrong)
    after = rows[last + 1].name if last + 1 < len(rows) else None
    return [owner(rows[last].name), None if after is None else owner(after)]


def _judge(
    context: Context,
    rows: Sequence[_Row],
    wrong: Sequence[_Row],
    functions: Sequence[str],
    tolerance: float,
) -> list[dict[str, Any]]:
    """A gradient that is missing is told apart from one that is wrong."""
    found: list[dict[str, Any]] = []
    between = _between(rows, wrong)
    for name, severity, hit, title in (
        (
            "wrong_gradients",
            "critical" if functions else "warning",
            [row for row in wrong if row.connected],
            "is wrong for",
        ),
        (
            "disconnected_params",
            "warning",
            [row for row in wrong if not row.connected],
            "misses",
        ),
    ):
        if not hit:
            continue
        last, first = between or ["", None]
        causes: list[dict[str, str]] = []
        if functions:
            causes.append(
                {
                    "cause": f"a custom backward: {', '.join(functions)}",
                    "because": "these functions of the graph have their backward written by hand",
                }
            )
        causes += [
            {
                "cause": f"the backward pass of {last or 'the model'}, or of what runs between "
                f"it and {first or 'the loss'}",
                "because": "all that is called later agrees",
            },
            {
                "cause": "a gradient that is stopped on purpose",
                "because": "detach(), straight-through estimators and spectral_norm, which takes "
                "its vectors as constants, disagree with differences by design",
            },
        ]
        found.append(
            finding(
                name,
                severity,
                f"backward() {title} {len(hit)} of {len(rows)} parameters that the loss depends on",
                step=context.step,
                layers=[row.name for row in hit],
                evidence=[
                    {
                        "what": f"relative error of the gradient of {row.name}",
                        "value": row.worst[1].relative_error,
                        "threshold": tolerance,
                        "step": context.step,
                    }
                    for row in hit
                ],
                causes=causes,
            )
        )
    return found
