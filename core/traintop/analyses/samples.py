"""Batches of another size: which samples a batch holds, and a batch made of some of them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from traintop.analyses.context import AnalysisFailedError


def count(batch: Any) -> int:
    """The number of samples in a batch.

    They lie along the first axis of its tensors. In a batch that is a list of dicts or of tuples,
    and in a list inside a batch of those or of tensors of unequal length, each item is a sample.

    Raises:
        AnalysisFailedError: Nothing in it says how many there are.
    """
    found = _count(batch)
    if not found:
        raise AnalysisFailedError(
            f"a batch is a {type(batch).__name__} that cannot be cut into samples: "
            "give batches of tensors, or lists with an item a sample"
        )
    return found


def pick(batch: Any, indexes: Sequence[int]) -> Any:
    """A batch of the samples named, of the same make; what belongs to no sample stays as it is.

    A tensor of one axis with several times as many elements holds so many of each sample.
    """
    total = count(batch)
    if _by_sample(batch):
        return [batch[i] for i in indexes]
    return _pick(batch, list(indexes), total, outermost=True)


def resized(batch: Any, samples: int) -> Any:
    """A batch of just so many samples; they come round again where the batch holds fewer."""
    total = count(batch)
    return pick(batch, [i % total for i in range(samples)])


def _count(batch: Any) -> int:
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    items = _items(batch)
    if items is None:
        return 0
    if _by_sample(batch):
        return len(items)
    # A tensor is the surest witness, a list of samples the next.
    tensors = (_count(item) for item in items if hasattr(item, "shape"))
    lists = (len(item) for item in items if _by_sample(item) or _ragged(item))
    nested = (_count(item) for item in items if _items(item) is not None)
    return next((found for found in _chain(tensors, lists, nested) if found), 0)


def _chain(*parts: Iterable[int]) -> Iterable[int]:
    for part in parts:
        yield from part


def _items(batch: Any) -> list[Any] | None:
    if isinstance(batch, Mapping):
        return list(cast("Mapping[str, Any]", batch).values())
    return list(cast("list[Any]", batch)) if isinstance(batch, list | tuple) else None


def _list(batch: Any) -> list[Any]:
    return (_items(batch) or []) if isinstance(batch, list) else []


def _by_sample(batch: Any) -> bool:
    """Whether it is a list with an item a sample; torch's own collation makes no such list."""
    items = _list(batch)
    return len(items) > 1 and (
        all(isinstance(item, Mapping) for item in items)
        or all(isinstance(item, tuple) for item in items)
    )


def _ragged(batch: Any) -> bool:
    """Whether it is a list of tensors of unequal length; several inputs are equal in theirs."""
    items = _list(batch)
    shapes = [getattr(item, "shape", None) for item in items]
    return all(shapes) and len({shape[0] for shape in shapes if shape}) > 1


def _pick(batch: Any, indexes: list[int], total: int, *, outermost: bool = False) -> Any:
    shape = getattr(batch, "shape", None)
    if shape is not None:
        rows = shape[0] // total if len(shape) and shape[0] % total == 0 else 0
        if rows == 1:
            return batch[indexes]
        if rows and len(shape) == 1:  # labels of sequences, one after the other
            return batch.reshape(total, rows)[indexes].reshape(-1)
        return batch
    if isinstance(batch, Mapping):
        pairs = cast("Mapping[str, Any]", batch).items()
        picked = {key: _pick(value, indexes, total) for key, value in pairs}
        # Hugging Face's batches are dicts with attributes.
        if isinstance(batch, UserDict):
            return cast("Any", batch).__class__(picked)
        return picked
    items = _items(batch)
    if items is None:
        return batch
    if not outermost and len(items) == total and not _structured(items, total):
        return type(batch)(items[i] for i in indexes)
    parts = [_pick(item, indexes, total) for item in items]
    return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


def _structured(items: Sequence[Any], total: int) -> bool:
    """Whether items, as many as there are samples, are parts with all samples in each."""
    held = [_holds(item, total) for item in items]
    tensors = all(hasattr(item, "shape") for item in items)
    return all(held) if tensors else any(held)


def _holds(item: Any, total: int) -> bool:
    shape = getattr(item, "shape", None)
    return shape is not None and len(shape) > 0 and shape[0] == total
