"""One pass over batches that notes what their loss functions are given, and what they return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from traintop.analyses.batches import forward, loss_of, one_pass, seed_everything, size
from traintop.analyses.context import Context
from traintop.analyses.loss_checks import (
    Fault,
    classes_of,
    guess,
    input_fault,
    looks_like,
    rows_of,
    shape_fault,
    target_fault,
)
from traintop.analyses.loss_watch import (
    CLASS_LOSSES,
    LossCall,
    LossWatch,
    StopWatchingError,
)

SAME = 1e-3
"""Relative difference up to which two losses are the same."""


@dataclass(kw_only=True)
class Look:
    """What one pass over the batches has shown."""

    losses: list[float] = field(default_factory=list[float])
    """The loss of each batch."""
    expected: list[float] = field(default_factory=list[float])
    """The loss of guessing, of each batch for which it is known."""
    ranges: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Least and greatest finite value of what each loss function was given."""
    kinds: list[str] = field(default_factory=list[str])
    """What these values look like: `logits`, `probabilities` or `log_probabilities`."""
    functions: set[str] = field(default_factory=set[str])
    classes: int | None = None
    log_zeros: int = 0
    """Values of zero or below that a logarithm was taken of."""
    log_of: str | None = None
    """`softmax` or `sigmoid`, where a logarithm was taken of its bare output."""
    bad_outputs: int = 0
    """Values of the output that are not finite."""
    first: LossCall | None = None
    """The only call of the first batch, where it is the only one."""
    refused: Fault | None = None
    """What would have made a call fail."""
    doubts: dict[str, list[Fault]] = field(default_factory=dict[str, list[Fault]])
    """What is wrong with the values that each call is given, for each batch in which it is."""

    @property
    def faults(self) -> list[Fault]:
        """What is wrong for sure: values are judged by all batches, not by one."""
        sure = [each[0] for each in self.doubts.values() if each and len(each) == len(self.losses)]
        return sure if self.refused is None else [self.refused, *sure]


def look_at(context: Context, batches: Sequence[Any], what: str) -> Look:
    """Compute the loss of each batch with the model as it is; `what` names the progress."""
    look = Look()
    seed_everything(context.seed)
    for done, batch in enumerate(batches, start=1):
        # As the run does; but batch norm cannot train on a single sample.
        context.model.train(size(batch) != 1)
        with LossWatch(lambda call: _refuse(look, call)) as watch, torch.no_grad():
            try:
                loss = float(loss_of(context.target, context.model, batch))
            except StopWatchingError:
                break
        look.losses.append(loss)
        look.log_zeros += watch.seen.log_zeros
        look.log_of = look.log_of or watch.seen.log_of
        if done == 1 and len(watch.seen.losses) == 1:
            look.first = watch.seen.losses[0]
        if watch.seen.losses:
            _take(look, watch.seen.losses, loss)
        else:
            _try_out(look, context, batch)
        context.progress(done, len(batches), what)
    return look


def look_at_labels(context: Context, look: Look, batch: Any, wanted: int) -> None:
    """Check the labels of more batches, without the model: one bad label is enough to end a run.

    Args:
        context: The request.
        look: What the first batches have shown; a fault is noted in it.
        batch: The first of them; its last part must be what the loss was given.
        wanted: Samples to look at, at most.
    """
    call = look.first
    if call is None or not isinstance(batch, list | tuple):
        return
    last = cast("Sequence[Any]", batch)[-1]
    if not isinstance(last, torch.Tensor) or not torch.equal(last, call.target):
        return
    samples = 0
    for other in one_pass(context.target.train or (), context.seed):
        labels = other[-1]
        fault = target_fault(replace(call, target=labels.to(call.input.device)))
        if fault is not None:
            look.refused = fault
            return
        samples += size(other)
        context.progress(min(samples, wanted), wanted, "labels")
        if samples >= wanted:
            return


def _refuse(look: Look, call: LossCall) -> None:
    """End the step before a call that would fail, on a GPU with an error that ends the process."""
    fault = shape_fault(call) or target_fault(call)
    if fault is None and call.name == "binary_cross_entropy":
        fault = input_fault(call)
    if fault is not None:
        look.refused = fault
        raise StopWatchingError


def _take(look: Look, calls: Sequence[LossCall], loss: float) -> None:
    """Join what the calls of a batch have shown."""
    guesses = [guess(call) for call in calls]
    known = [each for each in guesses if each is not None]
    total = sum(float(call.value.sum()) for call in calls if call.value is not None)
    # A loss with further terms, or scaled, cannot be compared.
    if len(known) == len(calls) and abs(total - loss) <= SAME * abs(loss):
        look.expected.append(sum(known))
    for number, (call, guessed) in enumerate(zip(calls, guesses, strict=True)):
        rows = rows_of(call)
        look.functions.add(call.name)
        _take_range(look, rows)
        if guessed is not None:
            look.kinds.append(looks_like(rows, call.origin))
            classes = classes_of(call) if call.name in CLASS_LOSSES else 2
            look.classes = look.classes or classes
        fault = input_fault(call)
        if fault is not None:
            look.doubts.setdefault(f"{call.name}:{number}", []).append(fault)


def _try_out(look: Look, context: Context, batch: Any) -> None:
    """Look at a loss written by hand, of class scores and class numbers, by trying it out."""
    loss = context.target.loss
    if loss is None or context.target.step is not None or not isinstance(batch, list | tuple):
        return
    labels: Any = cast("list[Any]", batch)[-1]
    with torch.no_grad():
        output = forward(context.target, context.model, batch)
        if not isinstance(output, torch.Tensor) or not isinstance(labels, torch.Tensor):
            return
        rows = output.float().reshape(-1, output.shape[-1] if output.ndim else 1)
        _take_range(look, rows)
        if labels.is_floating_point() or output.ndim != 2 or labels.shape != output.shape[:1]:
            return
        like = looks_like(rows)
        look.kinds.append(like)
        look.classes = int(output.shape[1])
        share = 1.0 / look.classes
        neutral = {"probabilities": share, "log_probabilities": math.log(share)}.get(like, 0.0)
        guessed = float(loss(torch.full_like(output, neutral), labels))
        plain, shifted = float(loss(output, labels)), float(loss(output + 1.0, labels))
    if math.isfinite(guessed):
        look.expected.append(guessed)
    # What a softmax is applied to does not change by a constant.
    if like == "probabilities" and abs(shifted - plain) <= SAME * abs(plain):
        fault = Fault(
            id="wrong_loss",
            severity="critical",
            text="the loss is given probabilities, and applies a softmax itself: adding 1 to every "
            "output does not change it",
            fix="leave the softmax out of the model",
            what="relative change of the loss when 1 is added to every output",
            value=abs(shifted - plain) / max(abs(plain), 1e-12),
            threshold=SAME,
        )
        look.doubts.setdefault("custom", []).append(fault)


def _take_range(look: Look, rows: torch.Tensor) -> None:
    finite = rows[rows.isfinite()]
    look.bad_outputs += rows.numel() - finite.numel()
    if finite.numel():
        look.ranges.append((float(finite.min()), float(finite.max())))
