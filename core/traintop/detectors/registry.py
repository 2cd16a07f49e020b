"""Which detectors there are, and the thresholds that each is given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from traintop.detectors.base import Detector, Thresholds
from traintop.detectors.dead_units import DeadUnits
from traintop.detectors.divergence import Divergence
from traintop.detectors.exploding_gradients import ExplodingGradients
from traintop.detectors.loss_spike import LossSpike
from traintop.detectors.nan_inf import NanInf
from traintop.detectors.overfitting import Overfitting
from traintop.detectors.plateau import Plateau
from traintop.detectors.vanishing_gradients import VanishingGradients
from traintop.errors import SettingsError

DETECTORS: tuple[type[Detector[Any]], ...] = (
    NanInf,
    Divergence,
    LossSpike,
    Plateau,
    Overfitting,
    ExplodingGradients,
    VanishingGradients,
    DeadUnits,
)
"""In the order in which they see a record: what stops a run comes first."""

IDS = tuple(detector.id for detector in DETECTORS)


def resolve_thresholds(
    given: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Thresholds]:
    """The thresholds in force, per detector id: the defaults with what was given over them.

    Raises:
        SettingsError: An id or a threshold that does not exist, or a value that is no number.
    """
    given = given or {}
    for name in given:
        if name not in IDS:
            raise SettingsError(f"detectors.{name}: there is no such detector{nearest(name, IDS)}")
    return {
        detector.id: _thresholds(detector, given.get(detector.id, {})) for detector in DETECTORS
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is meant, for the end of an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(known)}"


def _thresholds(detector: type[Detector[Any]], given: Mapping[str, object]) -> Thresholds:
    kind = detector.thresholds_type
    known = kind.__struct_fields__
    values: dict[str, float] = {}
    for key, value in given.items():
        where = f"detectors.{detector.id}.{key}"
        if key not in known:
            raise SettingsError(f"{where}: there is no such threshold{nearest(key, known)}")
        # A bool is an int to Python, but `true` is no threshold.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise SettingsError(f"{where}: a threshold is a number, not {value!r}")
        values[key] = float(value)
    return kind(**values)
