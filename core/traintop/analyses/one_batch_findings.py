"""What the attempts to fit one batch say: passed or not, the reason, and the finding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from traintop.analyses.context import Context, finding
from traintop.analyses.one_batch_rule import LITTLE, Attempt

LR_FIND = {"do": "LR range test on this checkpoint", "analysis": "lr_find"}
GRADIENT_FLOW = {"do": "see which gradient reaches each layer", "analysis": "gradient_flow"}
GRADIENT_CHECK = {"do": "check the gradients against differences", "analysis": "gradient_check"}
LOSS_FUNCTION = {"do": "see whether loss, output and labels fit", "analysis": "loss_function"}
NAN_SOURCE = {"do": "find where the NaN comes from", "analysis": "nan_source"}
DATA = {"do": "look at the data and their labels", "analysis": "data"}

Verdict = tuple[bool, str, list[dict[str, Any]]]


def judge(attempts: Sequence[Attempt], *, has_own: bool, context: Context) -> Verdict:
    """Judge the attempts.

    Args:
        attempts: With the target's optimizer, where it has one, then with Adam if that was needed;
            only the last can be fitted.
        has_own: Whether the first is with the target's optimizer; the others are Adam's.
        context: For the step of the checkpoint.

    Returns:
        Whether the test is passed, the reason in a sentence, and the findings.
    """
    first, last = attempts[0], attempts[-1]
    initial = first.losses[0]
    if not math.isfinite(initial):
        reason = f"the loss is {initial} before any step: weights or data are not finite"
        return False, reason, [_finding(context, "nan_inf", "critical", reason, initial, 0)]
    if last.course == "fitted" and (last is first or not has_own):
        return True, f"loss {initial:.4g} fell to {last.losses[-1]:.4g} in {last.steps} steps", []
    if last.course == "fitted":
        return _by_adam(first, last, context)
    return _unfitted(min(attempts, key=_left), context)


def _left(attempt: Attempt) -> float:
    last = attempt.losses[-1]
    return last if math.isfinite(last) else math.inf


def _by_adam(own: Attempt, adam: Attempt, context: Context) -> Verdict:
    """Adam has fitted the batch, which the target's optimizer has not."""
    fitted = f"Adam at lr {adam.lr:.0e} fits the batch in {adam.steps} steps"
    name = f"{own.optimizer} at lr {own.lr:.1e}"
    if own.course in ("falling", "stuck"):
        lowered = f"{own.losses[0]:.4g} to {own.losses[-1]:.4g} in {own.steps} steps"
        return True, f"{fitted}; {name} is slower: {lowered}", []
    if own.course == "flat":
        what = "does not change the weights" if not own.moved else "hardly lowers the loss"
        found, severity, cause = "lr_too_low", "warning", "learning rate too low"
    else:
        what = "throws the loss up" if own.course == "rose" else "makes the loss NaN or infinite"
        found, severity, cause = "lr_too_high", "critical", "learning rate too high"
    reason = f"{name} {what}, but {fitted}: model, loss and gradients are in order"
    ratio = own.losses[-1] / own.losses[0] if own.losses[0] else math.inf
    causes = [{"cause": cause, "because": f"{fitted} from the same weights"}]
    title = f"{name} {what} on one batch, which Adam fits"
    return False, reason, [
        _finding(context, found, severity, title, ratio, 1 - LITTLE, causes, [LR_FIND])
    ]  # fmt: skip


def _unfitted(best: Attempt, context: Context) -> Verdict:
    initial, final = best.losses[0], best.losses[-1]
    ratio = final / initial if initial else final
    lost = best.without_gradient
    ran = f"loss {initial:.4g} -> {final:.4g} in {best.steps} steps"
    causes: list[dict[str, str]] = []
    if lost:
        named = ", ".join(lost[:3]) + (" ..." if len(lost) > 3 else "")
        causes.append(
            {
                "cause": "parameters without gradient",
                "because": f"{len(lost)} of them, such as {named}",
            }
        )
    if best.course == "not_finite":
        reason = f"the loss becomes {final} at step {best.steps}, whatever the optimizer"
        found = _finding(context, "nan_inf", "critical", reason, best.steps, 0, causes)
    elif best.course in ("flat", "rose"):
        reason = f"the loss does not fall ({ran}): the model learns nothing from one batch"
        if not best.moved:
            reason = f"the weights do not change ({ran}): no gradient reaches them"
        title = "One batch cannot be learned"
        tests = [GRADIENT_FLOW, LOSS_FUNCTION, GRADIENT_CHECK]
        found = _finding(
            context, "not_learning", "critical", title, ratio, 1 - LITTLE, causes, tests
        )
    elif min(best.losses) < 0:
        reason = f"the loss falls ({ran}), and what the least of one below zero is nobody knows"
        return False, reason, []
    else:
        falling = best.course == "falling"
        reason = f"the loss falls but not to near zero ({ran})"
        if falling:
            reason += ": it is falling still, give it more steps"
        else:
            causes.append(
                {
                    "cause": "samples that contradict each other",
                    "because": "equal inputs with unequal targets keep the loss above zero",
                }
            )
            causes.append(
                {
                    "cause": "too little of the input reaches the output",
                    "because": "a few samples should be learned by heart",
                }
            )
            reason += (
                ": the model is too small for them, does not see all of its input, or equal "
                "inputs have unequal targets"
            )
        found = _finding(
            context,
            "underfitting",
            "info" if falling else "warning",
            f"One batch is not learned by heart: {ratio:.0%} of the loss is left",
            final,
            best.near,
            causes,
            [DATA, LOSS_FUNCTION, GRADIENT_FLOW],
        )
    return False, reason, [found]


def _finding(
    context: Context,
    name: str,
    severity: str,
    title: str,
    value: float,
    threshold: float,
    causes: Sequence[Mapping[str, str]] = (),
    tests: Sequence[Mapping[str, str]] = (NAN_SOURCE,),
) -> dict[str, Any]:
    what = {
        "nan_inf": "steps on one batch until the loss was not finite",
        "underfitting": "loss that is left on one batch",
    }.get(name, "loss left over the initial loss of one batch")
    return finding(
        name,
        severity,
        title[0].upper() + title[1:],
        step=context.step,
        evidence=[{"what": what, "value": value, "threshold": threshold, "step": context.step}],
        causes=causes,
        next=tests,
    )
