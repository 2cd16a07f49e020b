"""Batches of the target: drawing them in a seeded order, moving them, running the model on them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from traintop.analyses.context import AnalysisFailed

if TYPE_CHECKING:
    import torch

    from traintop.analyses.target import Target


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - data sets of the user's draw from the global one
    torch.manual_seed(seed)


def draw(data: Iterable[Any], seed: int, *, skip: int = 0) -> Iterator[Any]:
    """Go through `data` over and over, in an order that the seed decides.

    A list of batches is shuffled. A loader that shuffles does so by torch's generators, which are
    seeded. A loader that does not starts `skip` batches later instead.

    Args:
        data: Batches; must survive being iterated more than once.
        seed: Decides the order.
        skip: Batches passed over at the start by a loader whose order is fixed.

    Raises:
        AnalysisFailed: The data holds no batch, or none when it is gone through again.
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
            raise AnalysisFailed(
                "the data is used up after one pass: give a DataLoader or a list, no generator"
                if passes
                else "the data holds no batch"
            )
        passes += 1


def one_pass(data: Iterable[Any], seed: int) -> Iterator[Any]:
    """Go through `data` once, in an order that the seed decides."""
    yield from _in_order(data, _begin(data, seed))


def _begin(data: Iterable[Any], seed: int) -> random.Random:
    seed_everything(seed)
    _seed_own_generator(data, seed)
    return random.Random(seed)  # noqa: S311 - an order of batches, no secret


def _in_order(data: Iterable[Any], shuffle: random.Random) -> Iterable[Any]:
    return shuffle.sample(data, len(data)) if isinstance(data, list | tuple) else data


def _seed_own_generator(data: Iterable[Any], seed: int) -> None:
    import torch

    for owner in (data, getattr(data, "sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)


def _fixed_order(data: Iterable[Any]) -> bool:
    from torch.utils.data import DataLoader, SequentialSampler

    return isinstance(data, DataLoader) and isinstance(data.sampler, SequentialSampler)


def move(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor in it on `device`."""
    if isinstance(batch, Mapping):
        moved = {key: move(value, device) for key, value in batch.items()}
        # Containers of the user's with methods of their own (`.to`) stay what they are.
        return batch.to(device) if hasattr(batch, "to") else moved
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(item, device) for item in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(move(item, device) for item in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


def size(batch: Any) -> int:
    """The number of samples in a batch: the length of the first tensor found in it."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for item in batch:
            found = size(item)
            if found:
                return found
    return 0


def forward(target: Target, model: torch.nn.Module, batch: Any) -> Any:
    """Run the model on a batch as the target says; the loss is left out where it can be."""
    if target.forward is not None:
        return target.forward(model, batch)
    if target.step is not None:
        return target.step(model, batch)
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, list | tuple) and batch:
        inputs = batch[:-1] if len(batch) > 1 else batch
        return model(*inputs)
    return model(batch)


def loss_of(target: Target, model: torch.nn.Module, batch: Any) -> torch.Tensor:
    """The training loss of a batch, a scalar that can be differentiated.

    Raises:
        AnalysisFailed: The target does not say how, or what comes out is no scalar.
    """
    import torch

    if target.step is not None:
        loss = target.step(model, batch)
    else:
        output = forward(target, model, batch)
        if target.loss is None:
            loss = getattr(output, "loss", None)
        elif isinstance(batch, list | tuple) and len(batch) > 1:
            loss = target.loss(output, batch[-1])
        else:
            raise AnalysisFailed(
                f"a batch is a {type(batch).__name__}, in which no target is found for the loss: "
                "give the Target step=lambda model, batch: loss"
            )
    if loss is None:
        raise AnalysisFailed("the Target has neither loss nor step: give it one of them")
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        shape = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise AnalysisFailed(f"the loss must be a scalar tensor, not {shape}")
    if not loss.requires_grad:
        raise AnalysisFailed("the loss does not depend on any trainable parameter of the model")
    return loss.reshape(())
