"""The LR range test: train at a rising learning rate and see where the loss falls and breaks.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017). It is run over at least
two orders of the data, since its suggestions move with the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.analyses import lr_curve
from traintop.analyses.batches import draw, loss_of, move, seed_step, size_in_bytes
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, finding
from traintop.analyses.lr_curve import Floats
from traintop.analyses.saved_weights import SavedWeights
from traintop.analyses.target_optimizer import build_optimizer, refuse_closure

if TYPE_CHECKING:
    import torch

    from traintop.analyses.ranks import Share

FAR_ABOVE = 2.0
"""A learning rate this many times that of the divergence is too high; see `lr_curve.divergence`."""
LEAST_AGREEMENT = 0.25
"""Below it the middle half of the suggestions spans one and a half decades or more."""
STEPS_A_BATCH, FEWEST_BATCHES = 5, 10
"""Steps of all seeds together to each batch, and how many batches there are at least. Each of them
costs a forward pass at rest, so that one for each step would make the test a third slower."""
POOL_BYTES = 2 << 30
"""What all batches may take in memory; beyond it the fewest must do."""


def run(context: Context) -> Outcome:
    """Run the test for each seed, from the same weights and the same state of the optimizer.

    Raises:
        AnalysisFailedError: Bad options, no loss, or a loss that is not finite from the start.
    """
    steps, num_seeds, weight = _check_options(context)
    state = _optimizer_state(context)
    lrs = lr_curve.schedule(context.number("start_lr"), context.number("end_lr"), steps)
    saved = SavedWeights(context.model)
    seeds = [context.seed + i for i in range(num_seeds)]
    pool = _pool(context, min(steps, max(num_seeds * steps // STEPS_A_BATCH, FEWEST_BATCHES)))
    total = len(pool) + num_seeds * steps
    at_rest = _at_rest(context, pool, total)
    saved.restore()
    curves: list[_Curve] = []
    for i, seed in enumerate(seeds):
        begun, label = len(pool) + i * steps, f"seed {seed}"
        optimizer = build_optimizer(context, context.model.parameters(), state)
        curve = _Curve(at_rest, weight, _momentum(optimizer))
        refuse_closure(optimizer)
        order = _order(len(pool), steps, seed)
        trained = _train(context, optimizer, lrs, pool, order)
        for lr, index, loss in zip(lrs.tolist(), order, trained, strict=True):
            if not math.isfinite(loss):
                curve.stopped_at = lr
                break
            curve.add(loss, index)
            context.point(lr, curve.smoothed[-1], label)
            context.progress(begun + len(curve.losses), total, f"{label}, lr {lr:.1e}")
            if lr_curve.diverged(np.array(curve.smoothed), steps):
                curve.stopped_at = lr
                break
        saved.restore()
        curves.append(curve)
    return _outcome(context, lrs, curves, seeds)


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    methods = "  ".join(
        f"{name} {value:.2e}" if value is not None else f"{name} -"
        for name, value in result["suggestions"].items()
    )
    stop, edge = result["stopped_at"], result.get("edge")
    ended = f"loss diverged at lr {stop:.2e}" if stop is not None else "loss never diverged"
    seeds = f"{len(result['seeds'])} seeds"
    if result["suggested"] is None:
        return [f"no suggestion: the curve has only {len(result['lrs'])} points ({ended}, {seeds})"]
    low, high = result["range"]
    sure = "" if result["agreement"] >= LEAST_AGREEMENT else ": a guess, the methods disagree"
    return [
        f"suggested learning rate {result['suggested']:.2e}, range {low:.2e} to {high:.2e}{sure}",
        f"agreement {result['agreement']:.2f} (1: same value, 0: 2 decades apart), {seeds}",
        methods,
        ended,
        *(
            [f"edge of stability, estimated from how fast the loss grew: lr {edge:.2e}"]
            if edge
            else []
        ),
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
    momentum: float
    losses: list[float] = field(default_factory=list[float])
    smoothed: list[float] = field(default_factory=list[float])
    stopped_at: float | None = None

    def __post_init__(self) -> None:
        self._level = float(self.at_rest.mean())
        self._average = lr_curve.Average(self.weight)

    def add(self, loss: float, batch: int) -> None:
        """Take in the next loss, of the batch with this number."""
        change = loss - float(self.at_rest[batch])
        self.losses.append(loss)
        self.smoothed.append(self._average.add(self._level + change))

    def divergence(self, lrs: Floats) -> float | None:
        """The learning rate at which the loss diverged: by the rule, else where the test ended."""
        losses = np.array(self.losses)
        return lr_curve.divergence(lrs[: len(losses)], losses, self.at_rest) or self.stopped_at

    def edge(self, lrs: Floats) -> float | None:
        """The edge of stability."""
        losses, ended = np.array(self.losses), self.stopped_at is not None
        lrs = lrs[: len(losses)]
        return lr_curve.edge(lrs, losses, self.at_rest, ended=ended, momentum=self.momentum)


def _optimizer_state(context: Context) -> Mapping[str, Any] | None:
    """The state to begin with; None: that of a fresh optimizer."""
    if context.number("fresh"):
        return None
    if context.optimizer_state is None:
        raise AnalysisFailedError(
            "fresh 0 begins with the checkpoint's optimizer state, and there is none: give a "
            "--checkpoint that holds one, or leave fresh at 1"
        )
    return context.optimizer_state


def _pool(context: Context, count: int) -> list[Any]:
    """The batches that all seeds train on, fewer where they are large."""
    pool: list[Any] = []
    taken = 0
    for batch in draw(context.target.train or (), context.seed):
        pool.append(batch)
        taken += size_in_bytes(batch)
        if len(pool) == count or (len(pool) >= FEWEST_BATCHES and taken > POOL_BYTES):
            break
    return pool


def _order(batches: int, steps: int, seed: int) -> list[int]:
    """The batch of each step: all of them in a random order, then again in another."""
    shuffle = np.random.default_rng(seed % 2**32)
    laps = [shuffle.permutation(batches) for _ in range(-(-steps // batches))]
    order: list[int] = np.concatenate(laps)[:steps].tolist()
    return order


def _seeded_loss(context: Context, pool: Sequence[Any], index: int) -> tuple[torch.Tensor, Share]:
    """The loss of a batch and what this process has of it; dropout always falls alike in it."""
    share = context.ranks.share(pool[index])
    seed_step(context.seed + index, context.device)
    return loss_of(context.target, context.model, move(share.batch, context.device)), share


def _at_rest(context: Context, pool: Sequence[Any], total: int) -> Floats:
    """The loss of each batch with no training, shape (batches,)."""
    import torch

    context.model.train()
    losses: list[float] = []
    for index in range(len(pool)):
        with torch.no_grad():
            loss, share = _seeded_loss(context, pool, index)
        losses.append(context.ranks.mean(float(loss), share))
        if not math.isfinite(losses[-1]):
            raise AnalysisFailedError(
                "the loss is not finite before any training: the weights or the data hold NaN or "
                "infinities; take an earlier checkpoint, or run the analysis nan_source"
            )
        context.progress(len(losses), total, "loss at rest")
    return np.array(losses)


def _train(
    context: Context,
    optimizer: torch.optim.Optimizer,
    lrs: Floats,
    pool: Sequence[Any],
    order: Sequence[int],
) -> Iterator[float]:
    """Train one step for each learning rate and yield the loss before that step."""
    model, ranks = context.model, context.ranks
    model.train()
    shares = _shares([float(group["lr"]) for group in optimizer.param_groups])
    for lr, index in zip(lrs.tolist(), order, strict=True):
        _set_lrs(optimizer, [lr * share for share in shares])
        loss, share = _seeded_loss(context, pool, index)
        value = ranks.mean(float(loss.detach()), share)
        if math.isfinite(value):
            optimizer.zero_grad()
            (loss * ranks.weight(share)).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            ranks.average_gradients(model)
            optimizer.step()
        yield value


def _momentum(optimizer: torch.optim.Optimizer) -> float:
    """The weight of past gradients in its step: SGD's momentum, or the first beta of Adam's kin."""
    group = optimizer.param_groups[0]
    betas = group.get("betas") or (0.0,)
    return float(group.get("momentum") or betas[0])


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
    edges = [edge for curve in curves if (edge := curve.edge(lrs)) is not None]
    result = {
        "lrs": lrs[:reached].tolist(),
        "losses": np.mean([curve.losses[:reached] for curve in curves], axis=0).tolist(),
        "smoothed": smoothed.tolist(),
        "suggestions": lr_curve.suggest(lrs[:reached], smoothed, steps),
        "range": [found[0], found[2]] if found else None,
        "suggested": found[1] if found else None,
        "agreement": found[3] if found else None,
        "stopped_at": min(diverged) if diverged else None,
        "edge": float(np.exp(np.mean(np.log(edges)))) if edges else None,
        "seeds": list(seeds),
    }
    where = [curve.divergence(lrs) for curve in curves]
    return Outcome(
        result=result, findings=_judge(context, result, [lr for lr in where if lr is not None])
    )


def _present_lr(context: Context) -> float | None:
    """What the run trains with: as given, else the checkpoint's; without one, the target's."""
    given = context.options["current_lr"]
    if given is not None:
        return given
    groups: Sequence[Mapping[str, Any]] = ()
    if context.optimizer_state is not None:
        groups = context.optimizer_state["param_groups"]
    elif context.checkpoint is None:  # else a schedule may have changed it since
        groups = build_optimizer(context, context.model.parameters(), None).param_groups
    return max((float(group["lr"]) for group in groups if "lr" in group), default=None)


def _judge(
    context: Context, result: Mapping[str, Any], diverged: Sequence[float]
) -> list[dict[str, Any]]:
    """Whether the run's present learning rate lies far beyond those at which the loss diverged."""
    current = _present_lr(context)
    if current is None or not diverged or current <= FAR_ABOVE * max(diverged):
        return []
    limit, advice = max(diverged), result["suggested"]
    return [
        finding(
            "lr_too_high",
            "critical",
            f"Learning rate {current:.1e} is far above {limit:.1e}, where the loss diverges",
            step=context.step,
            evidence=[
                {
                    "what": "learning rate over that of the divergence in the LR range test",
                    "value": current / limit,
                    "threshold": FAR_ABOVE,
                    "step": context.step,
                }
            ],
            causes=[
                {
                    "cause": "learning rate too high",
                    "because": f"at lr {limit:.1e} the loss is twice the worst before",
                }
            ],
            next=[{"do": f"train from this checkpoint at lr {advice:.1e}"}] if advice else [],
        )
    ]
