"""The loss that training lowers, along the optimizer's own step, and how sharply it bends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from traintop.analyses.context import Context, finding
from traintop.analyses.curvature import Eigenvalue, Vector, largest_eigenvalue
from traintop.analyses.landscape_directions import moved, random_direction
from traintop.analyses.target_optimizer import build_optimizer

if TYPE_CHECKING:
    import torch

MULTIPLES = (-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Of the step: 0 is where the weights are, 1 where it ends."""
TOLERANCE = 1e-3
"""PyHessian's: the share by which the last iteration may change the eigenvalue."""
CATAPULT = 2.0
"""Up to about twice the edge, 2 / sharpness, training is thrown to a flatter place and goes on;
above it it diverges (Lewkowycz et al., "The large learning rate phase of deep learning", 2020)."""


class Loss(Protocol):
    """A loss over batches that stay the same."""

    def terms(self) -> Iterator[torch.Tensor]:
        """Parts of it that can be differentiated."""
        ...

    def loss(self) -> float:
        """Its value."""
        ...


@dataclass(frozen=True, kw_only=True)
class Line:
    """The loss along the step of an optimizer."""

    optimizer: str
    lr: float
    momentum: float
    multiples: list[float]
    losses: list[float]
    lowest_at: float
    """The multiple of the step at which the loss is lowest."""
    fresh: bool
    """Whether the optimizer knew nothing of the steps before."""


def along_update(context: Context, probe: Loss, weights: Sequence[torch.Tensor]) -> Line | None:
    """The loss from the weights to where one step takes them, and beyond; weights are moved.

    Returns:
        None where the target has no optimizer.
    """
    import torch

    if context.target.optimizer is None:
        context.log("the Target has no optimizer, so there is no update to go along")
        return None
    optimizer = build_optimizer(context, context.model.parameters(), context.optimizer_state)
    fresh = not optimizer.state_dict()["state"]
    begin = [each.detach().clone() for each in weights]

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for term in probe.terms():
            term.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            total += float(term.detach())
        return total

    with torch.enable_grad():
        optimizer.step(closure)
    with torch.no_grad():
        step = [each.detach() - at for each, at in zip(weights, begin, strict=True)]
        for each, at in zip(weights, begin, strict=True):
            each.copy_(at)
    losses: list[float] = []
    for number, multiple in enumerate(MULTIPLES, start=1):
        with moved(weights, [(multiple, step)]):
            losses.append(probe.loss())
        context.progress(number, len(MULTIPLES), "points along the update")
    group = max(optimizer.param_groups, key=lambda each: float(each["lr"]))
    known = [(loss, at) for loss, at in zip(losses, MULTIPLES, strict=True) if math.isfinite(loss)]
    return Line(
        optimizer=type(optimizer).__name__,
        lr=float(group["lr"]),
        momentum=float(group.get("momentum", 0.0)),
        multiples=list(MULTIPLES),
        losses=losses,
        lowest_at=min(known)[1] if known else 0.0,
        fresh=fresh,
    )


def sharpness(context: Context, probe: Loss, weights: Sequence[torch.Tensor]) -> Eigenvalue | None:
    """The largest eigenvalue of the Hessian; None where the loss cannot be differentiated twice."""
    import torch

    iterations = int(context.number("iterations"))
    if iterations < 1:
        return None
    with ExitStack() as stack:
        # Neither cuDNN's recurrent layers nor fused attention have a second derivative.
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(_plain_attention())
        stack.enter_context(torch.enable_grad())
        try:
            return largest_eigenvalue(
                lambda vector: hessian_product(probe, weights, vector),
                random_direction(weights),
                iterations=iterations,
                tolerance=TOLERANCE,
                tell=lambda done: context.progress(
                    min(done, 2 * iterations), 2 * iterations, "Hessian products"
                ),
            )
        except RuntimeError as error:
            reason = str(error).split("\n", maxsplit=1)[0]
            context.log(f"no sharpness, the loss cannot be differentiated twice: {reason}")
            return None


def _refuse_once_only(gradients: Sequence[torch.Tensor | None]) -> None:
    """Raise where a function that can be differentiated once is in the way.

    torch puts an `Error` in its place, which raises when it is reached; but it leads nowhere, so
    where weights may be unused it is passed over, and the curvature behind it with it.
    """
    nodes = [each.grad_fn for each in gradients if each is not None and each.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if node.name().rpartition("::")[2] == "Error":
            raise RuntimeError("one of its functions says that it is once_differentiable")
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)


def _plain_attention() -> AbstractContextManager[Any]:
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # before torch 2.3 there is no such choice
        return nullcontext()
    return cast("AbstractContextManager[Any]", sdpa_kernel(SDPBackend.MATH))


def _gradients(
    of: torch.Tensor, weights: Sequence[torch.Tensor], *, create_graph: bool
) -> tuple[torch.Tensor | None, ...]:
    import torch

    found = torch.autograd.grad(of, weights, create_graph=create_graph, allow_unused=True)
    return cast("tuple[torch.Tensor | None, ...]", found)


def hessian_product(probe: Loss, weights: Sequence[torch.Tensor], vector: Vector) -> Vector:
    """The Hessian of a loss times a vector, exactly (Pearlmutter, 1994)."""
    import torch

    total = [torch.zeros_like(each) for each in weights]
    for term in probe.terms():
        gradients = _gradients(term, weights, create_graph=True)
        _refuse_once_only(gradients)
        bent = [
            (gradient * part).sum()
            for gradient, part in zip(gradients, vector, strict=True)
            if gradient is not None and gradient.requires_grad
        ]
        if not bent:
            continue  # linear in its weights
        images = _gradients(torch.stack(bent).sum(), weights, create_graph=False)
        for into, image in zip(total, images, strict=True):
            if image is not None:
                into += image
    return total


def judge(context: Context, largest: Eigenvalue | None, line: Line | None) -> list[dict[str, Any]]:
    """Whether the learning rate is far beyond what this sharpness bears.

    Judged of plain gradient descent with or without momentum only: what other optimizers bear
    depends on how they scale each weight's step (Cohen et al., 2021 and 2022).
    """
    if largest is None or line is None or line.optimizer != "SGD" or not largest.value > 0:
        return []
    edge = (2 + 2 * line.momentum) / largest.value
    if not line.lr > CATAPULT * edge:
        return []
    return [
        finding(
            "lr_too_high",
            "critical",
            f"Learning rate {line.lr:.1e} is far above what the sharpness bears, {edge:.1e}",
            step=context.step,
            evidence=[
                {
                    "what": "learning rate over the edge, 2 (1 + momentum) / sharpness",
                    "value": line.lr / edge,
                    "threshold": CATAPULT,
                    "step": context.step,
                }
            ],
            causes=[
                {
                    "cause": "learning rate too high",
                    "because": f"the largest eigenvalue of the Hessian is {largest.value:.3g}",
                }
            ],
            next=[{"do": "LR range test on this checkpoint", "analysis": "lr_find"}],
        )
    ]
