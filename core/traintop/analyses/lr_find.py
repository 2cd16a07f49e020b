"""The LR range test: train at a rising learning rate and see where the loss falls and breaks.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017). It is run over at least
two orders of the data, since its suggestions move with the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.analyses import lr_curve
from traintop.analyses.batches import draw, loss_of, move, seed_everything
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, finding
from traintop.analyses.lr_curve import Floats

if TYPE_CHECKING:
    import torch

FAR_ABOVE = 2.0
"""A learning rate this many times the edge of divergence is too high; see `lr_curve.edge`."""
LAPS, FEWEST_BATCHES = 4, 10
"""How often each batch comes up in a test, and how many there are at least. The pass at rest costs
a forward pass for each of them: with other batches at every step it would cost a third more."""


def run(context: Context) -> Outcome:
    """Run the test for each seed, from the same weights and a fresh optimizer.

    Raises:
        AnalysisFailedError: Bad options, no loss, or a loss that is not finite from the start.
    """
    steps, num_seeds, weight = _check_options(context)
    lrs = lr_curve.schedule(context.number("start_lr"), context.number("end_lr"), steps)
    saved = _Saved(context.model)
    seeds = [context.seed + i for i in range(num_seeds)]
    count = max(steps // LAPS, FEWEST_BATCHES)
    total = num_seeds * (count + steps)
    curves: list[_Curve] = []
    for i, seed in enumerate(seeds):
        begun, label = i * (count + steps), f"seed {seed}"
        batches = list(islice(draw(context.target.train or (), seed, skip=i * count), count))
        saved.restore()
        at_rest: list[float] = []
        for loss in _rest(context, batches, seed):
            at_rest.append(loss)
            context.progress(begun + len(at_rest), total, f"{label}, at rest")
        if not np.isfinite(at_rest).all():
            raise AnalysisFailedError(
                "the loss is not finite before any training: the weights or the data hold NaN or "
                "infinities; take an earlier checkpoint"
            )
        saved.restore()
        curve = _Curve(np.array(at_rest), weight)
        for lr, loss in zip(lrs.tolist(), _train(context, lrs, batches, seed), strict=True):
            if not math.isfinite(loss):
                curve.stopped_at = lr
                break
            curve.add(loss)
            context.point(lr, curve.smoothed[-1], label)
            done = begun + count + len(curve.losses)
            context.progress(done, total, f"{label}, lr {lr:.1e}")
            if lr_curve.diverged(np.array(curve.smoothed), steps):
                curve.stopped_at = lr
                break
        curves.append(curve)
    saved.restore()
    return _outcome(context, lrs, curves, seeds)


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
        f"agreement {result['agreement']:.2f} (1: same value, 0: 2 decades apart), {seeds}",
        methods,
        ended,
    ]


def _check_options(context: Context) -> tuple[int, int, float]:
    """(steps, seeds, smoothing)."""
    start, end = context.number("start_lr"), context.number("end_lr")
    if not 0 < start < end < math.inf:
        raise AnalysisFailedError(
            f"start_lr must be above 0 and below end_lr, not {start:g} and {end:g}"
        )
    steps, num_seeds = int(context.number("num_it")), int(context.number("num_seeds"))
    if steps < 10:
        raise AnalysisFailedError(f"num_it must be at least 10, not {steps}")
    if num_seeds < 2:
        raise AnalysisFailedError(
            f"num_seeds must be at least 2, not {num_seeds}: one seed decides nothing"
        )
    weight = context.number("smoothing")
    if not 0 <= weight < 1:
        raise AnalysisFailedError(f"smoothing must be in [0, 1), not {weight:g}")
    return steps, num_seeds, weight


@dataclass
class _Curve:
    """What one seed has shown.

    Batches differ in difficulty, on a trained model by far more than a small step changes their
    loss. So the loss of each is corrected by what it was before any training: what is smoothed is
    the change that training made, on top of the mean loss at rest.
    """

    at_rest: Floats
    """Shape (batches,): the loss of each batch with the weights as they were."""
    weight: float
    losses: list[float] = field(default_factory=list[float])
    smoothed: list[float] = field(default_factory=list[float])
    stopped_at: float | None = None

    def __post_init__(self) -> None:
        self._level = float(self.at_rest.mean())
        self._average = lr_curve.Average(self.weight)

    def add(self, loss: float) -> None:
        """Take in the loss of the next batch."""
        change = loss - float(self.at_rest[len(self.losses) % len(self.at_rest)])
        self.losses.append(loss)
        self.smoothed.append(self._average.add(self._level + change))


def _laps(batches: Sequence[Any], seed: int) -> Iterator[Any]:
    """The batches in their order, over and over; dropout falls alike in each lap."""
    while True:
        seed_everything(seed)
        yield from batches


def _rest(context: Context, batches: Sequence[Any], seed: int) -> Iterator[float]:
    """The loss of each batch, with no training."""
    import torch

    context.model.train()
    for batch in islice(_laps(batches, seed), len(batches)):
        share = context.ranks.share(batch)
        with torch.no_grad():
            loss = loss_of(context.target, context.model, move(share.batch, context.device))
        yield context.ranks.mean(float(loss), share)


def _train(context: Context, lrs: Floats, batches: Sequence[Any], seed: int) -> Iterator[float]:
    """Train one step for each learning rate and yield the loss before that step."""
    target, model, ranks = context.target, context.model, context.ranks
    if target.optimizer is None:
        raise AnalysisFailedError("the LR range test needs train and optimizer in the Target")
    model.train()
    optimizer = target.optimizer(p for p in model.parameters() if p.requires_grad)
    shares = _shares([float(group["lr"]) for group in optimizer.param_groups])
    for lr, batch in zip(lrs.tolist(), _laps(batches, seed), strict=False):
        _set_lrs(optimizer, [lr * share for share in shares])
        share = ranks.share(batch)
        loss = loss_of(target, model, move(share.batch, context.device))
        value = ranks.mean(float(loss.detach()), share)
        if math.isfinite(value):
            optimizer.zero_grad()
            (loss * ranks.weight(share)).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            ranks.average_gradients(model)
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
    curves: Sequence[_Curve],
    seeds: Sequence[int],
) -> Outcome:
    """Join the seeds: their mean curve as far as all came, and the span of all suggestions."""
    steps = len(lrs)
    reached = min(len(curve.losses) for curve in curves)
    smoothed = np.mean([curve.smoothed[:reached] for curve in curves], axis=0)
    found = lr_curve.span(
        lr_curve.suggest(lrs[: len(curve.smoothed)], np.array(curve.smoothed), steps)
        for curve in curves
    )
    diverged = [curve.stopped_at for curve in curves if curve.stopped_at is not None]
    result = {
        "lrs": lrs[:reached].tolist(),
        "losses": np.mean([curve.losses[:reached] for curve in curves], axis=0).tolist(),
        "smoothed": smoothed.tolist(),
        "suggestions": lr_curve.suggest(lrs[:reached], smoothed, steps),
        "range": [found[0], found[2]] if found else None,
        "suggested": found[1] if found else None,
        "agreement": found[3] if found else None,
        "stopped_at": min(diverged) if diverged else None,
        "seeds": list(seeds),
    }
    edges = [
        lr_curve.edge(lrs[: len(c.losses)], np.array(c.losses), c.at_rest) or c.stopped_at
        for c in curves
    ]
    return Outcome(
        result=result, findings=_judge(context, result, [e for e in edges if e is not None])
    )


def _judge(
    context: Context, result: Mapping[str, Any], edges: Sequence[float]
) -> list[dict[str, Any]]:
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
                    "because": f"at lr {max(edges):.1e} the loss is twice the worst before",
                }
            ],
            next=[{"do": f"train from this checkpoint at lr {advice:.1e}"}] if advice else [],
        )
    ]
