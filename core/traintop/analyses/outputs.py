"""What a model says of a batch beside the labels: scores of classes, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from traintop.analyses.batch_parts import LABEL_KEYS
from traintop.analyses.batches import forward, loss_of
from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.loss_watch import (
    BINARY_LOSSES,
    CLASS_LOSSES,
    REGRESSION_LOSSES,
    LossCall,
    LossWatch,
)

MOST_VALUES = 1 << 25
"""Scores of a batch that are taken to the CPU: 128 MiB. Language models have a score for each word
of the vocabulary at each position; of more rows every n-th is looked at."""


@dataclass(kw_only=True, eq=False)
class Scored:
    """The outputs of a batch and what they should be.

    Attributes:
        kind: `classes` (scores of shape (N, C), labels of class numbers (N,)), `tags` (scores and
            labels of 0 or 1, both (N, K), each tag a decision of its own) or `numbers` (both (N,)).
        scores: Float, on the CPU; a tag is set where its score is above `cut`.
        labels: On the CPU.
        cut: Where the decision lies.
        loss: The loss of the batch, where there is one.
    """

    kind: str
    scores: torch.Tensor
    labels: torch.Tensor
    cut: float = 0.0
    loss: float | None = None

    def predictions(self) -> torch.Tensor:
        """The class or tags decided for, of the shape of `labels`; of numbers the scores."""
        if self.kind == "classes":
            return self.scores.argmax(1)
        return (self.scores > self.cut).long() if self.kind == "tags" else self.scores


def score(context: Context, batch: Any) -> Scored:
    """Run the model on a batch and find its scores and labels.

    They are taken from the loss function that is called, which gets both in the right shape; where
    there is none, from the model's output and the last part of the batch.

    Raises:
        AnalysisFailedError: No labels are found, or they do not go with the output.
    """
    target = context.target
    with torch.no_grad():
        if target.loss is not None or target.step is not None or isinstance(batch, Mapping):
            with LossWatch() as watch:
                try:
                    loss: float | None = float(loss_of(target, context.model, batch))
                except AnalysisFailedError:
                    loss = None
            found = [scored for call in watch.seen.losses if (scored := _of_call(call)) is not None]
            if found:
                # Of several losses the one of the most classes: others are auxiliary.
                best = max(found, key=lambda each: each.scores.numel())
                best.loss = loss
                return best
        if target.step is not None and target.forward is None:
            raise AnalysisFailedError(
                "no known loss function was called in step: give the Target "
                "forward=lambda model, batch: output, and batches that end with their labels"
            )
        return _of_output(forward(target, context.model, batch), _labels(batch))


def _of_call(call: LossCall) -> Scored | None:
    given, target = call.input, call.target
    if call.name in CLASS_LOSSES and given.ndim > 1:
        rows = given.movedim(1, -1).reshape(-1, given.shape[1])
        if not target.is_floating_point():
            ignored = int(call.options.get("ignore_index", -100))
            return _classes(rows, target.reshape(-1), ignored)
        if target.shape != given.shape:
            return None
        # Probabilities, as of mixed or smoothed labels.
        return _classes(rows, target.movedim(1, -1).reshape(rows.shape).argmax(1))
    given, target = given.float().cpu(), target.cpu()
    if call.name in BINARY_LOSSES and given.shape == target.shape:
        cut = 0.5 if call.name == "binary_cross_entropy" else 0.0
        return _tags(given, (target > 0.5).long(), cut)
    if call.name in REGRESSION_LOSSES and given.shape == target.shape:
        return _numbers(given, target)
    return None


def _of_output(output: Any, labels: torch.Tensor | None) -> Scored:
    if isinstance(output, Mapping):
        output = cast("Mapping[str, Any]", output).get("logits")
    elif isinstance(output, tuple):
        several = cast("Sequence[Any]", output)
        output = several[0] if several else None
    scores: Any = getattr(output, "logits", output)
    if not isinstance(scores, torch.Tensor) or labels is None:
        raise AnalysisFailedError(
            "no labels are found beside an output: give the Target loss=..., or a step=... that "
            "calls a loss of torch.nn.functional"
        )
    scores, labels = scores.detach(), labels.to(scores.device)
    if labels.is_floating_point() and scores.numel() == labels.numel():
        if bool(((labels == 0) | (labels == 1)).all()):
            return _binary(scores.reshape(labels.shape), labels.long())
        return _numbers(scores, labels)
    if not labels.is_floating_point() and labels.ndim + 1 == scores.ndim:
        if scores.shape[-1] == 1:
            return _binary(scores.squeeze(-1), labels.long())
        if scores.shape[:-1] == labels.shape:
            return _classes(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1))
        if scores.shape[0] == labels.shape[0] and scores.shape[2:] == labels.shape[1:]:
            rows = scores.movedim(1, -1).reshape(-1, scores.shape[1])
            return _classes(rows, labels.reshape(-1))
    if scores.shape == labels.shape:
        return _binary(scores, labels.long())
    raise AnalysisFailedError(
        f"an output {tuple(scores.shape)} and labels {tuple(labels.shape)} do not go together: "
        "give the Target loss=... or run the analysis shapes"
    )


def _classes(rows: torch.Tensor, labels: torch.Tensor, ignored: int = -100) -> Scored:
    kept = (labels != ignored).nonzero().flatten()
    most = max(MOST_VALUES // max(rows.shape[1], 1), 1)
    kept = kept[:: max(-(-len(kept) // most), 1)]
    return Scored(kind="classes", scores=rows[kept].float().cpu(), labels=labels[kept].long().cpu())


def _binary(scores: torch.Tensor, labels: torch.Tensor) -> Scored:
    """Scores that no loss tells to be logits or probabilities."""
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    return _tags(scores.float().cpu(), labels.cpu(), 0.5 if inside else 0.0)


def _tags(scores: torch.Tensor, labels: torch.Tensor, cut: float) -> Scored:
    """Several decisions a sample; one alone is a choice between two classes."""
    if scores.ndim < 2 or scores.shape[1] == 1:
        flat = scores.reshape(-1, 1) - cut
        return Scored(
            kind="classes", scores=torch.cat([-flat, flat], dim=1), labels=labels.reshape(-1)
        )
    columns = scores.shape[1]
    return Scored(
        kind="tags",
        scores=scores.movedim(1, -1).reshape(-1, columns),
        labels=labels.movedim(1, -1).reshape(-1, columns),
        cut=cut,
    )


def _numbers(scores: torch.Tensor, labels: torch.Tensor) -> Scored:
    return Scored(
        kind="numbers",
        scores=scores.float().cpu().reshape(-1),
        labels=labels.float().cpu().reshape(-1),
    )


def _labels(batch: Any) -> torch.Tensor | None:
    found: Any = None
    if isinstance(batch, Mapping):
        named = cast("Mapping[str, Any]", batch)
        found = next((named[key] for key in LABEL_KEYS if key in named), None)
    elif isinstance(batch, list | tuple) and len(cast("list[Any]", batch)) > 1:
        found = cast("list[Any]", batch)[-1]
    return found if isinstance(found, torch.Tensor) else None
