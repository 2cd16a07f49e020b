"""One pass over a split that keeps what comparing splits needs, not the data.

Of each sample: a hash of its rounded content, a short signature that near copies share, a few
features, its label. Of each part: shapes, types, range and moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from numpy.typing import NDArray

from traintop.analyses.batch_parts import Part, parts
from traintop.analyses.batches import one_pass

Floats = NDArray[np.float64]

DECIMALS = 4
"""Contents that agree to so many decimals are the same."""
HASHED_VALUES = 16_384
"""Values of a sample that are hashed, spread evenly; as many agree by chance in no data."""
COLUMNS = 512
"""Columns of a table that are compared."""
SIDE = 8
"""Images are compared at 8 by 8 pixels."""
SIGNATURE = 64
"""Values in the signature of what is no image and no table."""
PREVIEW = 8
"""Samples that are shown."""
MOST_CLASSES = 1000
"""Distinct whole numbers up to which labels are classes."""


@dataclass(kw_only=True)
class PartStatistics:
    """What all samples of one part have in common."""

    label: bool
    dtype: str
    shape: list[int | None]
    """Of one sample; None along an axis that varies."""
    count: int = 0
    """Finite values."""
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    squares: float = 0.0
    nonfinite: int = 0
    first_bad: int | None = None
    """The first sample with a NaN or an infinity."""

    @property
    def mean(self) -> float:
        """Of the finite values."""
        return self.total / self.count if self.count else math.nan

    @property
    def std(self) -> float:
        """Of the finite values."""
        return math.sqrt(max(self.squares / self.count - self.mean**2, 0.0)) if self.count else 0.0


@dataclass(kw_only=True, eq=False)
class Split:
    """What is known of a split."""

    parts: dict[str, PartStatistics] = field(default_factory=dict[str, PartStatistics])
    batches: int = 0
    samples: int = 0
    complete: bool = True
    """Whether all of it was seen."""
    fair: bool = True
    """Whether what was seen is a fair sample of it."""
    keys: list[bytes] = field(default_factory=list[bytes])
    blank: list[bool] = field(default_factory=list[bool])
    """Whether a sample is one value throughout: many are, and are no copies."""
    sizes: list[int] = field(default_factory=list[int])
    """Values of each sample's inputs."""
    signatures: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    features: list[Floats] = field(default_factory=list[Floats])
    feature_names: list[str] = field(default_factory=list[str])
    labels: list[Floats] = field(default_factory=list[Floats])
    label_kind: str | None = None
    """`classes` or `numbers`; None: no label with one value a sample."""
    preview: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def scan(data: Iterable[Any], seed: int, wanted: int, progress: Callable[[int], None]) -> Split:
    """Look at `wanted` samples; `progress` is told how many were seen."""
    data, complete, fair = sample_of(data, wanted)
    split = Split(complete=complete)
    for batch in one_pass(data, seed):
        if split.samples >= wanted:
            split.complete, split.fair = False, fair
            break
        split.batches += 1
        found = parts(batch)
        for part in found:
            _count(split, part)
        inputs = [list(_samples(part)) for part in found if not part.label]
        labels = next((part for part in found if part.label), None)
        if inputs:
            _add_inputs(split, inputs, labels)
        if labels is not None:
            _add_labels(split, labels)
        split.samples += max((sum(map(len, part.blocks)) for part in found), default=0)
        progress(min(split.samples, wanted))
    split.label_kind = _label_kind(split)
    return split


def sample_of(data: Iterable[Any], wanted: int) -> tuple[Iterable[Any], bool, bool]:
    """A fair sample of a loader that goes through its data in order, where it is longer.

    Returns:
        What to go through; whether that is all; whether its beginning is a fair sample.
    """
    from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, Subset

    if not isinstance(data, DataLoader):
        return data, True, isinstance(data, list | tuple)  # which are shuffled
    loader = cast("Any", data)
    if not isinstance(loader.sampler, SequentialSampler):
        return loader, True, not isinstance(loader.dataset, IterableDataset)
    if loader.batch_size is None:
        return loader, True, False
    length = len(loader.dataset)
    if length <= wanted:
        return loader, True, True
    generator = torch.Generator().manual_seed(0)
    chosen = cast("list[int]", torch.randperm(length, generator=generator)[:wanted].tolist())
    fair = DataLoader(
        Subset(loader.dataset, chosen),
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )
    return fair, False, True


def _count(split: Split, part: Part) -> None:
    for block in part.blocks:
        shape: list[int | None] = list(block.shape[1:])
        seen = split.parts.get(part.name)
        if seen is None:
            dtype = str(block.dtype).removeprefix("torch.")
            seen = split.parts[part.name] = PartStatistics(
                label=part.label, dtype=dtype, shape=shape
            )
        elif len(seen.shape) == len(shape):
            seen.shape = [a if a == b else None for a, b in zip(seen.shape, shape, strict=True)]
        values = block.double() if not block.is_complex() else block.abs().double()
        finite = values.isfinite()
        if not bool(finite.all()):
            bad = (~finite).reshape(len(block), -1).any(1)
            seen.nonfinite += int((~finite).sum())
            if seen.first_bad is None:
                seen.first_bad = split.samples + int(bad.nonzero()[0, 0])
            values = values[finite]
        if values.numel():
            seen.count += values.numel()
            seen.low = min(seen.low, float(values.min()))
            seen.high = max(seen.high, float(values.max()))
            seen.total += float(values.sum())
            seen.squares += float((values * values).sum())


def _samples(part: Part) -> Iterator[torch.Tensor]:
    for block in part.blocks:
        yield from block.cpu()


def _add_inputs(split: Split, inputs: list[list[torch.Tensor]], labels: Part | None) -> None:
    known = [] if labels is None else list(_samples(labels))
    for at in range(max(map(len, inputs))):
        tensors = [part[at] for part in inputs if at < len(part)]
        main = max(tensors, key=lambda tensor: tensor.numel())
        split.keys.append(_key(tensors))
        split.blank.append(all(bool((each == each.reshape(-1)[:1]).all()) for each in tensors))
        split.sizes.append(sum(each.numel() for each in tensors))
        signature = _signature(main)
        if not split.signatures or signature.shape == split.signatures[0].shape:
            split.signatures.append(signature)
        names, values = _features(main)
        if not split.features or values.shape == split.features[0].shape:
            split.features.append(values)
            split.feature_names = names
        if len(split.preview) < PREVIEW:
            split.preview.append(_shown(main, known[at] if at < len(known) else None))


def _key(tensors: list[torch.Tensor]) -> bytes:
    digest = blake2b(digest_size=12)
    for tensor in tensors:
        flat = tensor.reshape(-1)
        flat = flat[:: max(-(-flat.numel() // HASHED_VALUES), 1)]
        if flat.is_floating_point():
            # Zero has two signs.
            flat = (flat.float() * 10**DECIMALS).round() / 10**DECIMALS + 0.0
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(np.ascontiguousarray(flat.numpy()).tobytes())
    return digest.digest()


def _signature(main: torch.Tensor) -> NDArray[np.float32]:
    """What near copies of a sample share; shape (D,)."""
    if not main.is_floating_point() and main.dtype != torch.uint8:
        # Of tokens and the like: how often which two follow each other, by a hash of the pair.
        flat = main.reshape(-1).long()
        pairs = (flat[:-1] * 1_000_003 + flat[1:]) if flat.numel() > 1 else flat
        return (
            torch.bincount(pairs.remainder(4 * SIGNATURE), minlength=4 * SIGNATURE).sqrt().numpy()
        )
    values = torch.nan_to_num(main.float(), nan=0.0, posinf=0.0, neginf=0.0)
    if main.ndim <= 1:
        return values.reshape(-1)[:COLUMNS].numpy()
    if main.ndim == 2 or (main.ndim == 3 and min(main.shape[0], main.shape[2]) <= 4):
        # Channels come last in arrays and first in tensors.
        last = main.ndim == 3 and main.shape[2] <= 4 < main.shape[0]
        plane = values if main.ndim == 2 else values.mean(2 if last else 0)
        return F.adaptive_avg_pool2d(plane[None], SIDE).reshape(-1).numpy()
    return F.adaptive_avg_pool1d(values.reshape(1, -1), SIGNATURE).reshape(-1).numpy()


def _features(main: torch.Tensor) -> tuple[list[str], Floats]:
    """Numbers whose distribution is compared: columns of a table, else what describes a sample."""
    if main.ndim <= 1 and (main.is_floating_point() or main.numel() == 1):
        flat = main.reshape(-1).double()
        step = max(-(-flat.numel() // COLUMNS), 1)
        return [f"column {at}" for at in range(0, flat.numel(), step)], flat[::step].numpy()
    values = main.double()
    if not main.is_floating_point() and main.dtype != torch.uint8:
        distinct = len(np.unique(main.numpy())) / max(main.numel(), 1)
        found = [float(values.mean()), float(values.std(unbiased=False)), distinct]
        return ["mean", "deviation", "distinct share"], np.array(found)
    names = ["mean", "deviation"]
    found = [float(values.mean()), float(values.std(unbiased=False))]
    if main.ndim == 3 and 1 < main.shape[0] <= 4:
        names += [f"mean of channel {at}" for at in range(main.shape[0])]
        found += values.mean((1, 2)).tolist()
    return names, np.array(found)


def _add_labels(split: Split, part: Part) -> None:
    for block in part.blocks:
        flat = block.reshape(len(block), -1)
        if flat.shape[1] == 1:
            split.labels.append(flat[:, 0].double().cpu().numpy())
        elif flat.ndim == 2 and _one_hot(flat):
            split.labels.append(flat.argmax(1).double().cpu().numpy())


def _one_hot(rows: torch.Tensor) -> bool:
    binary = ((rows == 0) | (rows == 1)).all()
    return bool(binary) and bool((rows.sum(1) == 1).all())


def _label_kind(split: Split) -> str | None:
    if not split.labels or sum(map(len, split.labels)) != split.samples:
        return None
    labels = np.concatenate(split.labels)
    labels = labels[np.isfinite(labels)]
    if not len(labels) or bool((labels != np.round(labels)).any()):
        return "numbers"
    # Ages and counts are whole numbers, too, and come in a type of numbers with a fraction.
    part = next(part for part in split.parts.values() if part.label)
    one = part.shape in ([], [1])
    most = 2 if one and part.dtype.startswith(("float", "bfloat")) else MOST_CLASSES
    return "classes" if len(np.unique(labels)) <= most else "numbers"


def _shown(main: torch.Tensor, label: torch.Tensor | None) -> dict[str, Any]:
    """A sample and its label, as they are side by side in the batch."""
    values = torch.nan_to_num(main.float(), nan=0.0, posinf=0.0, neginf=0.0)
    shown: dict[str, Any] = {
        "label": None
        if label is None
        else label.item()
        if label.numel() == 1
        else label.reshape(-1)[:PREVIEW].tolist(),
        "mean": float(values.mean()) if values.numel() else 0.0,
        "deviation": float(values.std(unbiased=False)) if values.numel() else 0.0,
    }
    if (main.ndim in (2, 3) and main.is_floating_point()) or main.dtype == torch.uint8:
        pixels = _signature(main)
        if len(pixels) == SIDE * SIDE:
            rows = pixels.reshape(SIDE, SIDE)
            return shown | {"image": [[round(float(x), 3) for x in row] for row in rows]}
    return shown | {"values": main.reshape(-1)[:PREVIEW].tolist()}
