"""The LR range test: train at a rising learning rate and see where the loss falls and breaks.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017). It is run over at least
two orders of the data, since its suggestions move with the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.analyses import lr_curve
from traintop.analyses.batches import draw, loss_of, move
from traintop.analyses.context import AnalysisFailed, Context, Outcome, finding
from traintop.analyses.lr_curve import Floats

if TYPE_CHECKING:
    import torch

FAR_ABOVE = 3.0
"""A learning rate this many times the edge of divergence (half a decade) is called too high: a
fresh optimizer diverges somewhat earlier than one whose averages have settled."""


def run(context: Context) -> Outcome:
    """Run the test for each seed, from the same weights and a fresh optimizer.

    Raises:
        AnalysisFailed: Bad options, no loss, or a loss that is not finite from the start.
    """
    steps, num_seeds, weight = _check_options(context)
    lrs = lr_curve.schedule(context.number("start_lr"), context.number("end_lr"), steps)
    saved = _Saved(context.model)
    seeds = [context.seed + i for i in range(num_seeds)]
    curves: list[Floats] = []
    stops: list[float | None] = []
    for i, seed in enumerate(seeds):
        saved.restore()
        losses: list[float] = []
        stop = None
        for lr, loss in zip(lrs.tolist(), _train(context, lrs, seed, skip=i * steps), strict=False):
            if not math.isfinite(loss):
                stop = lr
                break
            losses.append(loss)
            smoothed = lr_curve.smooth(np.array(losses), weight)
            context.point(lr, float(smoothed[-1]), f"seed {seed}")
            context.progress(i * steps + len(losses), num_seeds * steps, f"seed {seed}, lr {lr:.1e}")
            if lr_curve.diverged(smoothed, steps):
                stop = lr
                break
        if not losses:
            raise AnalysisFailed(
                "the loss is not finite at the first batch: the weights or the data hold NaN or "
                "infinities; take an earlier checkpoint"
            )
        curves.append(np.array(losses))
        stops.append(stop)
    saved.restore()
    return _outcome(context, lrs, curves, stops, seeds)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    methods = "  ".join(
        f"{name} {value:.2e}" if value is not None else f"{name} -"
        for name, value in result["suggestions"].items()
    )
    stop = result["stopped_at"]
    ended = f"loss diverged at lr {stop:.2e}" if stop is not None else "loss never diverged"
    seeds = f"{len(result['seeds'])} seeds"
    if result["suggested"] is None:
        return [f"no suggestion: the curve has only {len(result['lrs'])} points ({ended}, {seeds})"]
    low, high = result["range"]
    return [
        f"suggested learning rate {result['suggested']:.2e}, range {low:.2e} to {high:.2e}",
        f"agreement {result['agreement']:.2f} of methods and {seeds} (1: all the same, 0: 2 decades apart)",
        methods,
        ended,
    ]


def _check_options(context: Context) -> tuple[int, int, float]:
    """(steps, seeds, smoothing)."""
    start, end = context.number("start_lr"), context.number("end_lr")
    if not 0 < start < end < math.inf:
        raise AnalysisFailed(f"start_lr must be above 0 and below end_lr, not {start:g} and {end:g}")
    steps, num_seeds = int(context.number("num_it")), int(context.number("num_seeds"))
    if steps < 10:
        raise AnalysisFailed(f"num_it must be at least 10, not {steps}")
    if num_seeds < 2:
        raise AnalysisFailed(f"num_seeds must be at least 2, not {num_seeds}: one seed decides nothing")
    weight = context.number("smoothing")
    if not 0 <= weight < 1:
        raise AnalysisFailed(f"smoothing must be in [0, 1), not {weight:g}")
    return steps, num_seeds, weight


def _train(context: Context, lrs: Floats, seed: int, skip: int) -> Iterator[float]:
    """Train one step for each learning rate and yield the loss before that step."""
    target, model = context.target, context.model
    if target.train is None or target.optimizer is None:
        raise AnalysisFailed("the LR range test needs train and optimizer in the Target")
    batches = draw(target.train, seed, skip=skip)
    model.train()
    optimizer = target.optimizer(p for p in model.parameters() if p.requires_grad)
    shares = _shares([float(group["lr"]) for group in optimizer.param_groups])
    for lr in lrs.tolist():
        _set_lrs(optimizer, [lr * share for share in shares])
        loss = loss_of(target, model, move(next(batches), context.device))
        value = float(loss.detach())
        if math.isfinite(value):
            optimizer.zero_grad()
            loss.backward()  # pyright: ignore[reportUnknownMemberType] - torch leaves it untyped
            optimizer.step()
        yield value


def _shares(lrs: Sequence[float]) -> list[float]:
    """Each parameter group's learning rate over the largest: the proportion that is kept."""
    top = max(lrs)
    return [lr / top if top > 0 else 1.0 for lr in lrs]


def _set_lrs(optimizer: torch.optim.Optimizer, lrs: Sequence[float]) -> None:
    import torch

    for group, lr in zip(optimizer.param_groups, lrs, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


class _Saved:
    """The weights and buffers of a model, to begin each seed from."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._held = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]

    def restore(self) -> None:
        """Put them back."""
        import torch

        with torch.no_grad():
            for tensor, value in self._held:
                tensor.copy_(value)


def _outcome(
    context: Context,
    lrs: Floats,
    curves: Sequence[Floats],
    stops: Sequence[float | None],
    seeds: Sequence[int],
) -> Outcome:
    """Join the seeds: the mean curve as far as all of them came, and the span of all suggestions."""
    steps, weight = len(lrs), context.number("smoothing")
    reached = min(len(curve) for curve in curves)
    losses = np.mean([curve[:reached] for curve in curves], axis=0)
    smoothed = lr_curve.smooth(losses, weight)
    each = [lr_curve.suggest(lrs[: len(c)], lr_curve.smooth(c, weight), steps) for c in curves]
    found = lr_curve.span(each)
    diverged = [stop for stop in stops if stop is not None]
    result = {
        "lrs": lrs[:reached].tolist(),
        "losses": losses.tolist(),
        "smoothed": smoothed.tolist(),
        "suggestions": lr_curve.suggest(lrs[:reached], smoothed, steps),
        "range": [found[0], found[2]] if found else None,
        "suggested": found[1] if found else None,
        "agreement": found[3] if found else None,
        "stopped_at": min(diverged) if diverged else None,
        "seeds": list(seeds),
    }
    edges = [
        lr_curve.edge(lrs[: len(c)], c, lr_curve.smooth(c, weight), steps)
        for c, stop in zip(curves, stops, strict=True)
        if stop is not None
    ]
    return Outcome(result=result, findings=_judge(context, result, [e for e in edges if e is not None]))


def _judge(context: Context, result: Mapping[str, Any], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Whether the run's present learning rate lies far beyond the edge of divergence."""
    current = context.options["current_lr"]
    if current is None and context.optimizer_state is not None:
        groups = context.optimizer_state["param_groups"]
        current = max((float(group["lr"]) for group in groups if "lr" in group), default=None)
    if current is None or not edges or current <= FAR_ABOVE * max(edges):
        return []
    advice = result["suggested"]
    return [
        finding(
            "lr_too_high",
            "critical",
            f"Learning rate {current:.1e} is far above the edge of divergence, {max(edges):.1e}",
            step=context.step,
            evidence=[
                {
                    "what": "learning rate over the edge of divergence in the LR range test",
                    "value": current / max(edges),
                    "threshold": FAR_ABOVE,
                    "step": context.step,
                }
            ],
            causes=[
                {
                    "cause": "learning rate too high",
                    "because": f"from lr {max(edges):.1e} on the loss stayed above twice its best",
                }
            ],
            next=[{"do": f"train from this checkpoint at lr {advice:.1e}"}] if advice else [],
        )
    ]
