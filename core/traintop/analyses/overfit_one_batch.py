"""Overfitting one batch: a few samples, the same again and again, until the loss is near zero.

After Karpathy, "A Recipe for Training Neural Networks" (2019), and Braiek and Khomh, "Testing
Feedforward Neural Networks Training Programs" (TheDeepChecker, 2023). A model, a loss and gradients
that are in order can learn a few samples by heart; whatever keeps them from it keeps them from
learning anything. What regularises is off: weight decay and label smoothing are zero, and every
step draws the same random numbers, so that dropout masks, noise and augmentation in the model or
the step belong to the batch.

It is tried with the target's optimizer. Where that does not get there, Adam tries too, at two
learning rates, which tells a model that cannot learn from an optimizer that does not let it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import NOTHING_TRAINS, loss_of, seed_everything
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, counted
from traintop.analyses.one_batch_choice import choose, label_entropy, without_smoothing
from traintop.analyses.one_batch_findings import judge
from traintop.analyses.one_batch_rule import Attempt, course, goal, over
from traintop.analyses.saved_weights import SavedBuffers, SavedWeights

if TYPE_CHECKING:
    import torch

    from traintop.analyses.target import Target

    Make = Callable[[Sequence[torch.nn.Parameter]], torch.optim.Optimizer]

ADAM_LRS = (1e-3, 1e-2)
"""The default of its authors (Kingma and Ba, 2015), and what small networks bear."""
NAMES_LISTED = 5


def run(context: Context) -> Outcome:
    """Train on the batch until the loss is near zero or the steps are used up.

    Raises:
        AnalysisFailedError: A bad option, no batch, no loss, nothing to train, or sharded weights.
    """
    steps, wanted = int(context.number("steps")), int(context.number("samples"))
    if steps < 1 or wanted < 1:
        raise AnalysisFailedError("steps and samples must be at least 1")
    if context.ranks.sharded:
        raise AnalysisFailedError("one batch cannot tell with sharded weights: leave --shard out")
    if not any(each.requires_grad for each in context.model.parameters()):
        raise AnalysisFailedError(NOTHING_TRAINS)
    target = without_smoothing(context)
    batch, samples = choose(context, wanted)
    saved = SavedWeights(context.model)
    if context.number("fresh"):
        _start_fresh(context)
    begin = SavedWeights(context.model)
    context.model.train()
    entropy = label_entropy(context, target, batch)
    makers: list[Make] = []
    if target.optimizer is not None:
        makers.append(target.optimizer)
    makers += [_adam(lr) for lr in ADAM_LRS]
    attempts: list[Attempt] = []
    for number, make in enumerate(makers):
        begin.restore()
        attempts.append(_fit(context, target, batch, make, steps, (number, len(makers)), entropy))
        if attempts[-1].course == "fitted" or not math.isfinite(attempts[0].losses[0]):
            break
        if _any_sparse(context.model):
            context.log("the gradients are sparse, which Adam cannot take: it is not tried")
            break
    saved.restore()
    passed, reason, findings = judge(
        attempts, has_own=target.optimizer is not None, context=context
    )
    shown = min(attempts, key=_rank)
    initial = attempts[0].losses[0]
    undecided = not passed and not findings
    return Outcome(
        result={
            "losses": shown.losses,
            "initial_loss": initial,
            "final_loss": shown.losses[-1],
            "steps": shown.steps,
            "passed": passed,
            "reason": reason,
            "goal": shown.near if math.isfinite(initial) and not undecided else None,
            "samples": samples,
            "attempts": [
                {
                    "optimizer": each.optimizer,
                    "lr": each.lr,
                    "steps": each.steps,
                    "final_loss": each.losses[-1],
                    "course": each.course,
                    "losses": each.losses,
                }
                for each in attempts
            ],
            "without_gradient": attempts[0].without_gradient,
        },
        findings=findings,
    )


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    samples = result["samples"]
    undecided = result["goal"] is None and math.isfinite(float(result["initial_loss"]))
    head = "passed" if result["passed"] else "undecided" if undecided else "FAILED"
    lines = [f"{head} on one batch of {counted(samples, 'sample')}: {result['reason']}"]
    for each in result["attempts"]:
        final = float(each["final_loss"])  # JSON has the words "NaN" and "Infinity"
        lines.append(
            f"{each['optimizer']} at lr {each['lr']:.1e}: loss {float(each['losses'][0]):.4g} -> "
            f"{final:.4g} in {each['steps']} steps ({each['course'].replace('_', ' ')})"
        )
    lost = result["without_gradient"]
    if lost:
        more = " ..." if len(lost) > NAMES_LISTED else ""
        lines.append(f"{len(lost)} without gradient: {', '.join(lost[:NAMES_LISTED])}{more}")
    return lines


def _rank(attempt: Attempt) -> tuple[bool, float]:
    """The fitted one, else the one that came lowest."""
    last = attempt.losses[-1]
    return attempt.course != "fitted", last if math.isfinite(last) else math.inf


def _start_fresh(context: Context) -> None:
    """Put the weights back that the target has built."""
    import torch

    if context.initial is None:
        raise AnalysisFailedError("the fresh weights were not kept: set fresh to 0")
    with torch.no_grad():
        for name, parameter in context.model.named_parameters():
            parameter.copy_(context.initial[name])


def _adam(lr: float) -> Make:
    import torch

    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


def _any_sparse(model: torch.nn.Module) -> bool:
    return any(each.grad is not None and each.grad.is_sparse for each in model.parameters())


def _has_gradient(parameter: torch.nn.Parameter) -> bool:
    grad = parameter.grad
    if grad is None:
        return False
    return bool((grad.coalesce().values() if grad.is_sparse else grad).any())


def _fit(
    context: Context,
    target: Target,
    batch: Any,
    make: Make,
    steps: int,
    place: tuple[int, int],
    entropy: float | None,
) -> Attempt:
    import torch

    model = context.model
    before, buffers = SavedWeights(model), SavedBuffers(model)
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    optimizer = make(list(trained.values()))
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    lr = max(float(group["lr"]) for group in optimizer.param_groups)
    name = type(optimizer).__name__

    # As a closure, since there are optimizers that look at the loss more than once a step.
    def closure() -> float:
        seed_everything(context.seed)
        buffers.restore()
        optimizer.zero_grad()
        loss = loss_of(target, model, batch)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return float(loss.detach())

    losses: list[float] = []
    without_gradient: list[str] = []
    near = -math.inf
    for done in range(steps + 1):
        with torch.enable_grad():
            loss = optimizer.step(closure)
        losses.append(loss)
        if not done:
            near = goal(loss, entropy) if math.isfinite(loss) else -math.inf
            without_gradient = [key for key, each in trained.items() if not _has_gradient(each)]
        if math.isfinite(loss):
            context.point(done, loss, f"{name} {lr:.0e}")
        context.progress(place[0] * steps + done, place[1] * steps, f"{name}, loss {loss:.4g}")
        if over(losses, near):
            break
    return Attempt(
        optimizer=name,
        lr=lr,
        losses=losses,
        near=near,
        course=course(losses, near),
        moved=before.changed(),
        without_gradient=without_gradient,
    )
