"""Statistics of one parameter, of another of the same shape, and of how far they are apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

SMALL = 1e-3
"""Share of a parameter's own root mean square below which a weight is small. Of normally
distributed weights 0.08 % are."""
POWER_ITERATIONS = 100
CONVERGED = 1e-4
"""Relative change of the largest singular value at which the power iteration ends."""


def statistics(weight: Tensor) -> dict[str, Any]:
    """Mean, standard deviation, range, norm and share of small weights, of the finite ones.

    Returns:
        None where no element is finite, or there is none.
    """
    values = _plain(weight)
    finite = values[values.isfinite()]
    known: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max", "norm", "small_fraction"))
    known["nan"] = values.numel() - finite.numel()
    if not finite.numel():
        return known
    low, high = (float(each) for each in finite.aminmax())
    mean = float(finite.mean(dtype=torch.float64))
    norm = norm_of(finite)
    rms = norm / math.sqrt(finite.numel())
    known["mean"], known["norm"], known["min"], known["max"] = mean, norm, low, high
    # Exact for a constant, where the difference of squares is only nearly 0.
    known["std"] = math.sqrt(max(rms**2 - mean**2, 0.0)) if high > low else 0.0
    known["small_fraction"] = float((finite.abs() <= SMALL * rms).double().mean())
    return known


def norm_of(tensor: Tensor) -> float:
    """The 2-norm, summed in float64."""
    value = cast("Tensor", torch.linalg.vector_norm(_plain(tensor), dtype=torch.float64))
    return float(value)


def change(now: Tensor, then: Tensor) -> float | None:
    """The norm of the difference over the norm of what was; None where that is 0 or not finite."""
    before, after = _plain(then), _plain(now).to(then.device)
    size = norm_of(before)
    moved = norm_of(after.double() - before.double())
    return moved / size if size > 0 and math.isfinite(moved / size) else None


def spectral_norm(weight: Tensor, seed: int) -> float | None:
    """The largest singular value of a matrix, a kernel being taken as (out, all else).

    By power iteration on W'W from a random start; it is approached from below.
    """
    matrix = _plain(weight)
    if weight.ndim < 2 or not weight.numel() or not bool(matrix.isfinite().all()):
        return None
    matrix = matrix.reshape(len(weight), -1).to(torch.promote_types(matrix.dtype, torch.float32))
    scale = float(matrix.abs().amax())
    if scale == 0:
        return 0.0
    matrix = matrix / scale  # squares of tiny or huge weights leave float32
    start = torch.Generator().manual_seed(seed)
    vector = torch.randn(matrix.shape[1], generator=start).to(matrix)
    largest = 0.0
    for _ in range(POWER_ITERATIONS):
        image = matrix @ (vector / norm_of(vector))
        before, largest = largest, norm_of(image)
        vector = matrix.T @ image
        if largest == 0 or abs(largest - before) <= CONVERGED * largest:
            break
    return largest * scale


def alike_rows(weight: Tensor) -> bool:
    """Whether all rows of a matrix are the same and not 0: units that no gradient tells apart."""
    rows = _plain(weight)
    if weight.ndim < 2 or len(weight) < 2 or not rows.numel():
        return False
    rows = rows.reshape(len(weight), -1)
    same = bool((rows[1:] == rows[:1]).all()) and bool(rows.isfinite().all())
    return same and bool(rows.any())


def whole(tensor: Tensor) -> Tensor:
    """A tensor that is sharded over ranks put together; all ranks must ask for it."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def _plain(weight: Tensor) -> Tensor:
    """Real numbers on their device, in at least half precision: float8 knows no arithmetic."""
    values = whole(weight.detach())
    values = torch.view_as_real(values) if values.is_complex() else values
    return values.float() if values.is_floating_point() and values.element_size() == 1 else values
