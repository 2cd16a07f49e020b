"""Names of the layers that a mask over per-layer statistics picks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

AT_MOST = 8
"""More names than this do not help to find where it began."""


def named(names: Sequence[str], mask: NDArray[Any], at_most: int = AT_MOST) -> tuple[str, ...]:
    """The first names that `mask`, of shape (layers,), picks; `layer 7` where there is no name."""
    picked: list[int] = np.flatnonzero(mask)[:at_most].tolist()
    return tuple(names[index] if index < len(names) else f"layer {index}" for index in picked)
