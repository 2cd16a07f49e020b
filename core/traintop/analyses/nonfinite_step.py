"""One step of training on one batch: whether it stays finite, and if not, what is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from traintop.analyses.batches import loss_of, seed_everything
from traintop.analyses.context import AnalysisFailedError, Context
from traintop.analyses.model_order import bare_name, owner
from traintop.analyses.nonfinite_trace import NonfiniteTrace, Origin, nonfinite_kind, statistics
from traintop.analyses.samples import count, pick
from traintop.analyses.saved_weights import SavedBuffers

SAMPLES_TRIED = 512
"""Samples of a bad batch that are run alone, at most."""


class Step:
    """Forward and backward on a batch, which can be done again just as it was.

    Args:
        context: Holds the model and the target.
        batch: On the model's device.
        seed: Of the random numbers in it.
    """

    def __init__(self, context: Context, batch: Any, seed: int) -> None:
        self._context, self._batch, self._seed = context, batch, seed
        self._model = context.model
        self._buffers = SavedBuffers(context.model)

    def surfaces(self) -> str | None:
        """Do the step; tell where something is not finite: `loss`, `gradient` or nowhere."""
        loss = self._loss(self._batch)
        if not bool(loss.detach().isfinite()):
            return "loss"
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return None if _all_finite(self._gradients()) else "gradient"

    def trace(self) -> Origin:
        """Do the step again, and find the origin of what is not finite.

        Raises:
            AnalysisFailedError: This time it stays finite.
        """
        trace = NonfiniteTrace(self._model)
        for name, tensor in (*self._model.named_parameters(), *self._model.named_buffers()):
            trace.mark(tensor, "weights", owner(bare_name(name)), bare_name(name))
        for path, tensor in _named_tensors(self._batch):
            trace.mark(tensor, "input", "", path)
        self._buffers.restore()
        with trace:
            loss = self._loss(self._batch)
            trace.begin_backward(loss)
            if bool(loss.detach().isfinite()):
                loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        found = [trace.origin_of(each) for each in (loss.detach(), *self._gradients())]
        known = [origin for origin in found if origin is not None]
        if not known:
            raise AnalysisFailedError(
                "a step was not finite, and is when it is done again with the same random numbers: "
                "make the model or the data of the target deterministic"
            )
        return min(known, key=lambda origin: origin.order)

    def samples(self, origin: Origin) -> list[int] | None:
        """The samples of the batch that alone make the step fail, or hold the bad input.

        Returns:
            None where that cannot be told, or all of them do.
        """
        if origin.phase == "weights":
            return None
        try:
            total = count(self._batch)
        except AnalysisFailedError:
            return None
        if origin.phase == "input":
            tensor = dict(_named_tensors(self._batch)).get(origin.what)
            if tensor is not None and tensor.ndim and len(tensor) == total:
                rows = (~tensor.isfinite()).reshape(total, -1).any(dim=1)
                return cast("list[int]", rows.nonzero().flatten().tolist())
        self._model.eval()  # normalisation by the batch would fail on one sample, or mix them
        try:
            bad = [at for at in range(min(total, SAMPLES_TRIED)) if self._fails_alone(at)]
        except (RuntimeError, ValueError, LookupError, TypeError, AnalysisFailedError) as error:
            reason = str(error).split("\n", maxsplit=1)[0]
            self._context.log(f"samples cannot be run alone: {reason}")
            return None
        finally:
            self._model.train()
        return bad if len(bad) < total else None

    def _fails_alone(self, at: int) -> bool:
        self._context.progress(at, min(count(self._batch), SAMPLES_TRIED), "samples, one by one")
        loss = self._loss(pick(self._batch, [at]))
        if not bool(loss.detach().isfinite()):
            return True
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return not _all_finite(self._gradients())

    def _loss(self, batch: Any) -> Tensor:
        self._model.zero_grad(set_to_none=True)
        seed_everything(self._seed)
        device, half = self._context.device.type, bool(self._context.number("fp16"))
        with torch.autocast(device, dtype=torch.float16, enabled=half):
            return loss_of(self._context.target, self._model, batch)

    def _gradients(self) -> list[Tensor]:
        return [each.grad for each in self._model.parameters() if each.grad is not None]


def nonfinite_weights(model: nn.Module) -> list[Origin]:
    """The parameters that are not finite, and the buffers with NaNs: masks hold infinities."""
    named: list[tuple[str, Tensor]] = [*model.named_parameters(), *model.named_buffers()]
    if _all_finite([tensor for _, tensor in named if tensor.is_floating_point()]):
        return []
    kinds = [(name, tensor, nonfinite_kind(tensor)) for name, tensor in named]
    return [
        Origin(
            phase="weights",
            module=owner(bare_name(name)),
            what=bare_name(name),
            kind=kind,
            inputs=(statistics(tensor.detach()),),
        )
        for name, tensor, kind in kinds
        if kind is not None and (kind == "nan" or isinstance(tensor, nn.Parameter))
    ]


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    """One transfer from the device for all of them."""
    held = [each._values() if each.is_sparse else each for each in tensors]
    largest = [each.detach().abs().amax().double() for each in held if each.numel()]
    return not largest or bool(torch.stack(largest).isfinite().all())


def _named_tensors(batch: Any, path: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """The floating-point tensors in a batch, by how they are reached."""
    if isinstance(batch, Tensor):
        if batch.is_floating_point():
            yield path, batch
    elif isinstance(batch, Mapping):
        for key, value in cast("Mapping[str, Any]", batch).items():
            yield from _named_tensors(value, f"{path}[{key!r}]")
    elif isinstance(batch, list | tuple):
        for at, value in enumerate(cast("Iterable[Any]", batch)):
            yield from _named_tensors(value, f"{path}[{at}]")
