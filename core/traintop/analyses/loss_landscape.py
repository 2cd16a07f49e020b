"""The loss around the weights: in a plane, along the update, and how sharply it bends.

The plane is that of Li et al., "Visualizing the Loss Landscape of Neural Nets" (2018): spanned by
two random directions whose filters are as large as those of the weights, in evaluation mode. A
distance of 1 then replaces the weights by noise of their own size.

The other two are of the loss that training lowers: in training mode, each batch with the same
random numbers every time. Along the update is the line from the weights to where the target's
optimizer would take them, in multiples of that step. The sharpness is the largest eigenvalue of the
Hessian, by power iteration with exact products (Pearlmutter, 1994; PyHessian, Yao et al., 2020):
gradient descent with a learning rate above 2 / sharpness leaves the minimum that it is in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.analyses.batches import NO_BATCH, loss_of, move, one_pass, seed_everything
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, counted
from traintop.analyses.landscape_directions import (
    filter_normalised,
    moved,
    random_direction,
)
from traintop.analyses.landscape_slope import Line, along_update, judge, sharpness
from traintop.analyses.samples import count, pick
from traintop.analyses.saved_weights import SavedBuffers, SavedWeights

if TYPE_CHECKING:
    import torch


class Probe:
    """The loss of the model, as it is, over some batches that stay the same.

    Args:
        context: Holds model and target.
        batches: On the device, with their numbers of samples.
    """

    def __init__(self, context: Context, batches: Sequence[tuple[Any, int]]) -> None:
        self._context = context
        self._batches = batches
        self._buffers = SavedBuffers(context.model)
        self.samples = sum(samples for _, samples in batches)

    def terms(self) -> Iterator[torch.Tensor]:
        """The loss of each batch, times its share of the samples: they sum up to the mean."""
        for number, (batch, samples) in enumerate(self._batches):
            seed_everything(self._context.seed + number)
            self._buffers.restore()
            loss = loss_of(self._context.target, self._context.model, batch)
            yield loss * (samples / self.samples)

    def loss(self) -> float:
        """The mean over all samples."""
        import torch

        with torch.no_grad():
            return sum(float(term) for term in self.terms())


def run(context: Context) -> Outcome:
    """Walk the plane and the line and measure the sharpness.

    Raises:
        AnalysisFailedError: A bad option, no batch, a loss that is not finite, or sharded weights.
    """
    points, span, wanted = _check_options(context)
    if context.ranks.sharded:
        raise AnalysisFailedError("the loss landscape needs whole weights: leave --shard out")
    weights = [
        each
        for each in context.model.parameters()
        if each.requires_grad and each.is_floating_point()
    ]
    if not weights:
        raise AnalysisFailedError(
            "all real weights of the model are frozen, and the loss is mapped over those that are "
            "trained: unfreeze some in the target"
        )
    probe = Probe(context, _collect(context, wanted))
    saved = SavedWeights(context.model)
    seed_everything(context.seed)
    directions = [
        filter_normalised(random_direction(weights), weights) for _ in range(2)
    ]  # fmt: skip
    context.model.eval()
    center = probe.loss()
    if not math.isfinite(center):
        raise AnalysisFailedError(
            f"the loss at the weights is {center}: run nan_source to see where it comes from, or "
            "take an earlier checkpoint"
        )
    context.model.train()
    line = along_update(context, probe, weights)
    saved.restore()
    largest = sharpness(context, probe, weights)
    saved.restore()
    context.model.eval()
    steps = np.linspace(-span, span, points)
    losses = _plane(context, probe, weights, directions, steps.tolist())
    saved.restore()
    edge = 2 / largest.value if largest is not None and largest.value > 0 else None
    return Outcome(
        result={
            "alphas": steps.tolist(),
            "betas": steps.tolist(),
            "losses": losses,
            "center_loss": center,
            "sharpness": None if largest is None else largest.value,
            "sharpness_converged": largest is not None and largest.converged,
            "edge_lr": edge,
            "update": _as_dict(line),
            "samples": probe.samples,
        },
        findings=judge(context, largest, line),
    )


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    center = float(result["center_loss"])
    values = np.array(result["losses"], dtype=np.float64)
    known = values[np.isfinite(values)]
    span = result["alphas"][-1]
    lines = [
        f"loss {center:.4g} at the weights, over {counted(result['samples'], 'sample')}",
        f"{known.min():.4g} to {known.max():.4g} up to {span:g} filter norms from them",
    ]
    broken = values.size - known.size
    if broken:
        lines.append(f"{broken} points are not finite")
    if result["sharpness"] is None:
        lines.append("sharpness: the loss cannot be differentiated twice")
    else:
        rough = "" if result["sharpness_converged"] else " or more"
        edge = result["edge_lr"]
        lines.append(
            f"sharpness (largest eigenvalue of the Hessian) {float(result['sharpness']):.4g}{rough}"
            + ("" if edge is None else f": gradient descent is stable up to lr {edge:.2e}")
        )
    line = result["update"]
    if line is not None:
        lines.append(
            f"along the update of {line['optimizer']} at lr {line['lr']:.1e}: the loss is lowest "
            f"at {line['lowest_at']:g} times the step"
        )
    return lines


def _check_options(context: Context) -> tuple[int, float, int]:
    """(points a side, span, samples)."""
    points, wanted = int(context.number("points")), int(context.number("samples"))
    if points < 3 or points % 2 == 0:
        raise AnalysisFailedError(
            f"points must be odd and above 1, for one is at the weights, not {points}"
        )
    span = context.number("span")
    if not 0 < span < math.inf:
        raise AnalysisFailedError(f"span must be above 0, not {span:g}")
    if wanted < 1:
        raise AnalysisFailedError(f"samples must be at least 1, not {wanted}")
    return points, span, wanted


def _collect(context: Context, wanted: int) -> list[tuple[Any, int]]:
    """Batches that hold so many samples, the last one cut to fit where it can be."""
    found: list[tuple[Any, int]] = []
    left = wanted
    for batch in one_pass(context.target.train or (), context.seed):
        try:
            samples = count(batch)
            if samples > left:
                batch, samples = pick(batch, range(left)), left
        except AnalysisFailedError:
            samples = 1  # of batches that cannot be taken apart each counts as one
        found.append((move(batch, context.device), samples))
        left -= samples
        if left <= 0:
            break
    if not found:
        raise AnalysisFailedError(NO_BATCH)
    return found


def _plane(
    context: Context,
    probe: Probe,
    weights: Sequence[torch.Tensor],
    directions: Sequence[list[torch.Tensor]],
    steps: Sequence[float],
) -> list[list[float]]:
    """The loss at each alpha (a row) and beta (a column)."""
    rows: list[list[float]] = []
    middle, total = len(steps) // 2, len(steps) ** 2
    for i, alpha in enumerate(steps):
        row: list[float] = []
        for j, beta in enumerate(steps):
            with moved(weights, [(alpha, directions[0]), (beta, directions[1])]):
                row.append(probe.loss())
            context.progress(i * len(steps) + j + 1, total, "points of the plane")
            if j == middle and math.isfinite(row[-1]):
                context.point(alpha, row[-1], "along alpha")
            if i == middle and math.isfinite(row[-1]):
                context.point(beta, row[-1], "along beta")
        rows.append(row)
    return rows


def _as_dict(line: Line | None) -> dict[str, Any] | None:
    if line is None:
        return None
    return {
        "optimizer": line.optimizer,
        "lr": line.lr,
        "multiples": line.multiples,
        "losses": line.losses,
        "lowest_at": line.lowest_at,
        "fresh_optimizer": line.fresh,
    }
