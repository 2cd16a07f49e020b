"""What a value of a role is multiplied by, so that rules and reports have it in one unit.

GPU memory in MiB, times in seconds, accuracies as a share.
"""

from __future__ import annotations

import numpy as np

from traintop.catalogue import SeriesRef
from traintop.store import Series

FACTORS = {
    "gpu_memory": {"B": 2.0**-20, "KiB": 2.0**-10, "MiB": 1.0, "GiB": 1024.0, "TiB": 2.0**20},
    "step_time": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
    "compute_time": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
}
PERCENT_FROM = 1.5
"""An accuracy above this is in percent."""
BYTES_FROM = 1e7
"""A memory without a unit above this is in bytes: no device has 10 TB."""
GIB_BELOW = 300.0
"""A memory without a unit that is no whole number, and never above this, is in GiB: megabytes are
written as whole numbers."""


def factor_of(ref: SeriesRef, series: Series) -> float:
    """Return what the values of a series are multiplied by to be in the unit of its role."""
    role = ref.role or ""
    if role.startswith("accuracy/"):
        return 0.01 if ref.unit == "%" or (series.summary().max or 0.0) > PERCENT_FROM else 1.0
    factors = FACTORS.get(role)
    if factors is None:
        return 1.0
    if ref.unit in factors:
        return factors[ref.unit]
    return _guessed(series) if role == "gpu_memory" and ref.unit is None else 1.0


def _guessed(series: Series) -> float:
    most = series.summary().max or 0.0
    if most > BYTES_FROM:
        return FACTORS["gpu_memory"]["B"]
    newest = series.values()[-100:]
    newest = newest[np.isfinite(newest)]
    whole = bool((newest == np.floor(newest)).all())
    return 1.0 if whole or most > GIB_BELOW else FACTORS["gpu_memory"]["GiB"]
