"""Batches of the target: drawing them in a seeded order, moving them, running the model on them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from traintop.analyses.context import AnalysisFailedError
from traintop.analyses.target import describe

if TYPE_CHECKING:
    import torch

    from traintop.analyses.target import Target


NO_BATCH = "train holds no batch: look at what its loader yields (drop_last, an empty dataset)"


NOTHING_TRAINS = (
    "no parameter of the model asks for a gradient: in the target unfreeze those that are trained"
)


class Inputs(NamedTuple):
    """What a model was called with: a batch without its targets."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_step(seed: int, device: torch.device) -> None:
    """Seed all that one step on a device draws from.

    On the CPU a hundredth of what `torch.manual_seed` costs, which prepares the seeds of
    accelerators that are not in use, and with each the text of the call stack.
    """
    import numpy as np
    import torch

    if device.type != "cpu":
        seed_everything(seed)
        return
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def draw(data: Iterable[Any], seed: int, *, skip: int = 0) -> Iterator[Any]:
    """Go through `data` over and over, in an order that the seed decides.

    A list of batches is shuffled. A loader that shuffles does so by torch's generators, which are
    seeded. A loader that does not starts `skip` batches later instead.

    Args:
        data: Batches; must survive being iterated more than once.
        seed: Decides the order.
        skip: Batches passed over at the start by a loader whose order is fixed.

    Raises:
        AnalysisFailedError: The data holds no batch, or none when it is gone through again.
    """
    shuffle = _begin(data, seed)
    to_skip = skip if _fixed_order(data) else 0
    passes = 0
    while True:
        empty = True
        for batch in _in_order(data, shuffle):
            empty = False
            if to_skip > 0:
                to_skip -= 1
                continue
            yield batch
        if empty:
            raise AnalysisFailedError(
                "the data is used up after one pass: give a DataLoader or a list, no generator"
                if passes
                else NO_BATCH
            )
        passes += 1


def one_pass(data: Iterable[Any], seed: int) -> Iterator[Any]:
    """Go through `data` once, in an order that the seed decides."""
    yield from _in_order(data, _begin(data, seed))


def _begin(data: Iterable[Any], seed: int) -> random.Random:
    seed_everything(seed)
    _seed_own_generator(data, seed)
    return random.Random(seed)  # noqa: S311 - an order of batches, no secret


def _in_order(data: Iterable[Any], shuffle: random.Random) -> Iterator[Any]:
    parts = _parts(data)
    if parts is not None:
        yield from shuffle.sample(parts, len(parts))
        return
    batches = 0
    try:
        for batch in data:
            yield batch
            batches += 1
    except AnalysisFailedError:
        raise
    except Exception as error:
        raise AnalysisFailedError(
            f"the data's batch {batches} cannot be had, for the loader raised {describe(error)}: "
            "mend it there, or leave such samples out"
        ) from error


def _seed_own_generator(data: Iterable[Any], seed: int) -> None:
    import torch

    for owner in (data, getattr(data, "sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)


def _fixed_order(data: Iterable[Any]) -> bool:
    from torch.utils.data import DataLoader, SequentialSampler

    return isinstance(data, DataLoader) and isinstance(data.sampler, SequentialSampler)


def _parts(batch: Any) -> list[Any] | None:
    """What a batch that is a list or a tuple is made of."""
    return list(cast("list[Any]", batch)) if isinstance(batch, list | tuple) else None


def _named(batch: Any) -> Mapping[str, Any] | None:
    """What a batch that is a dict is made of."""
    return cast("Mapping[str, Any]", batch) if isinstance(batch, Mapping) else None


def move(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor in it on `device`."""
    if hasattr(batch, "to"):  # tensors, and containers such as Hugging Face's or PyG's
        return batch.to(device)
    named, parts = _named(batch), _parts(batch)
    if named is not None:
        return {key: move(value, device) for key, value in named.items()}
    if parts is None:
        return batch
    moved = [move(item, device) for item in parts]
    return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)


def size(batch: Any) -> int:
    """The number of samples in a batch: the length of the first tensor found in it."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    named = _named(batch)
    items = list(named.values()) if named is not None else _parts(batch) or []
    return next((found for found in map(size, items) if found), 0)


def size_in_bytes(item: Any) -> int:
    """Bytes of all tensors in a value."""
    size = getattr(item, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(item, Mapping):
        return sum(size_in_bytes(each) for each in cast("Mapping[str, Any]", item).values())
    if isinstance(item, str | bytes) or not isinstance(item, Iterable):
        return 0
    return sum(size_in_bytes(each) for each in cast("Iterable[object]", item))


def forward(target: Target, model: torch.nn.Module, batch: Any) -> Any:
    """Run the model on a batch as the target says; the loss is left out where it can be."""
    if isinstance(batch, Inputs):
        return model(*batch.args, **batch.kwargs)
    if target.forward is not None:
        return target.forward(model, batch)
    if target.step is not None:
        return target.step(model, batch)
    named, parts = _named(batch), _parts(batch)
    if named is not None:
        return model(**named)
    if parts:
        return model(*(parts[:-1] if len(parts) > 1 else parts))
    return model(batch)


def loss_of(target: Target, model: torch.nn.Module, batch: Any) -> torch.Tensor:
    """The training loss of a batch: a scalar; it can be differentiated where gradients are on.

    Raises:
        AnalysisFailedError: The target does not say how, or what comes out is no scalar.
    """
    import torch

    loss: Any
    if isinstance(batch, Inputs):
        loss = getattr(forward(target, model, batch), "loss", None)
        if loss is None:
            raise AnalysisFailedError(
                "the recorded batches hold only what the model was called with, no targets for the "
                "loss: call recorder.keep(batch) in the training loop, or give the Target train="
            )
    elif target.step is not None:
        loss = target.step(model, batch)
    else:
        output = forward(target, model, batch)
        parts = _parts(batch) or []
        if target.loss is None:
            loss = getattr(output, "loss", None)
        elif len(parts) > 1:
            loss = target.loss(output, parts[-1])
        else:
            raise AnalysisFailedError(
                f"a batch is a {type(batch).__name__}, in which no target is found for the loss: "
                "give the Target step=lambda model, batch: loss"
            )
    if loss is None:
        how = "loss" if target.step is None else "step"
        raise AnalysisFailedError(
            "the Target has neither loss nor step: give it one of them"
            if target.loss is None and target.step is None
            else f"the Target's {how} returned None: let it return the loss"
        )
    if not isinstance(loss, torch.Tensor):
        raise AnalysisFailedError(
            f"the loss is of type {type(loss).__name__}: return it as a tensor, without .item()"
        )
    if loss.numel() != 1:
        raise AnalysisFailedError(
            f"the loss must be a scalar, not of shape {tuple(loss.shape)}: take the mean of it"
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise AnalysisFailedError(NOTHING_TRAINS)
        raise AnalysisFailedError(
            "the loss does not depend on any trainable parameter of the model: look for detach(), "
            "item() or no_grad() on the way to it"
        )
    return loss.reshape(())
