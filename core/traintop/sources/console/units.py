"""One unit a series: what is written in another of the same kind is converted to the first."""

from __future__ import annotations

from traintop.sources.console.numbers import UNITS, Unit

MOST_SERIES = 20_000


class Units:
    """The units of the series of one file."""

    def __init__(self) -> None:
        self._first: dict[str, Unit] = {}
        self.written: dict[str, str] = {}
        """Series -> its unit as it was first written, also where it is none that is converted."""

    def factor(self, name: str, unit: str) -> float:
        """What to multiply a number by that is written in this unit."""
        if unit and name not in self.written and len(self.written) < MOST_SERIES:
            self.written[name] = unit
        found = UNITS.get(unit)
        if found is None or len(self._first) > MOST_SERIES:
            return 1.0
        if found.kind == "multiple":
            # Memory is a matter of bytes, and there the first size stays the unit.
            if "mem" not in name.lower() and unit != "G":
                return found.size
            found = Unit("bytes", found.size)
        first = self._first.setdefault(name, found)
        return found.size / first.size if first.kind == found.kind else 1.0
