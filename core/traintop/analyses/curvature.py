"""The largest eigenvalue of a symmetric operator, such as a Hessian, by power iteration. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Vector = list["torch.Tensor"]
"""One tensor for each parameter."""


@dataclass(frozen=True, kw_only=True)
class Eigenvalue:
    """What the iteration has come to; it comes from below."""

    value: float
    iterations: int
    converged: bool


def largest_eigenvalue(
    product: Callable[[Vector], Vector],
    start: Vector,
    *,
    iterations: int,
    tolerance: float,
    tell: Callable[[int], None] = lambda _done: None,
) -> Eigenvalue:
    """Find the largest eigenvalue (not the largest in size) of a symmetric operator.

    Power iteration ends at the eigenvalue that is largest in size. Where that is negative, as it
    can be far from a minimum, a second round on the operator less that eigenvalue, all of whose
    eigenvalues are then positive, finds the largest.

    Args:
        product: The operator times a vector.
        start: A random vector, which is not changed.
        iterations: Products in each round, at most.
        tolerance: A round is over when the estimate changes by less than this share.
        tell: Called after each product with their number so far.
    """
    first = _round(product, start, 0.0, iterations, tolerance, tell)
    if not first.value < 0:
        return first
    shift = first.value
    second = _round(
        product, start, shift, iterations, tolerance, lambda done: tell(first.iterations + done)
    )
    return Eigenvalue(
        value=second.value + shift,
        iterations=first.iterations + second.iterations,
        converged=first.converged and second.converged,
    )


def _round(
    product: Callable[[Vector], Vector],
    start: Vector,
    shift: float,
    iterations: int,
    tolerance: float,
    tell: Callable[[int], None],
) -> Eigenvalue:
    vector = _unit(start)
    value = math.nan
    for done in range(1, iterations + 1):
        image = product(vector)
        if shift:
            image = [each - shift * of for each, of in zip(image, vector, strict=True)]
        before, value = value, _dot(vector, image)
        tell(done)
        if not math.isfinite(value):
            return Eigenvalue(value=value, iterations=done, converged=False)
        length = math.sqrt(_dot(image, image))
        if not length:
            return Eigenvalue(value=0.0, iterations=done, converged=True)
        if abs(value - before) <= tolerance * abs(value):
            return Eigenvalue(value=value, iterations=done, converged=True)
        vector = [each / length for each in image]
    return Eigenvalue(value=value, iterations=iterations, converged=False)


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector))
    return [each / length for each in vector] if length else vector


def _dot(left: Vector, right: Vector) -> float:
    import torch

    # Summed in double precision: of millions of small products.
    return sum(float(torch.sum(a.double() * b.double())) for a, b in zip(left, right, strict=True))
