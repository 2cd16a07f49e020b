"""The series of a run: what each is called on the screen, and which one has which role."""

from __future__ import annotations

from typing import NamedTuple

from traintop.sources.roles import choose
from traintop.store import Run, Table


class SeriesRef(NamedTuple):
    """One series of a run."""

    table: str
    name: str
    """As its writer has it."""
    label: str
    """Unique in the run: the name, with the table before it where that is needed."""
    role: str | None


class Catalogue:
    """Names the series of runs. Remembers a run's answer until it has another series."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Run, int, list[SeriesRef]]] = {}

    def refs(self, run: Run) -> list[SeriesRef]:
        """Return all series, in the order in which they turned up."""
        tables = list(run.tables.values())
        count = sum(len(table.series) for table in tables)
        known = self._known.get(run.index)
        if known is None or known[0] is not run or known[1] != count:
            known = self._known[run.index] = (run, count, _name(tables))
        return known[2]

    def by_role(self, run: Run, role: str) -> SeriesRef | None:
        """Return the series that has a role, if one has."""
        return next((ref for ref in self.refs(run) if ref.role == role), None)

    def roles_of(self, run: Run, table: str) -> dict[str, str]:
        """Return series name -> role for those series of a table that have one."""
        return {
            ref.name: ref.role
            for ref in self.refs(run)
            if ref.table == table and ref.role is not None
        }


def _name(tables: list[Table]) -> list[SeriesRef]:
    series = [(table.name, name) for table in tables for name in list(table.series)]
    roles = {found: role for role, found in choose(series).items()}
    names = [name for _, name in series]
    split = any(table.name == "val" for table in tables)
    refs: list[SeriesRef] = []
    for table, name in series:
        plain = table == "train" or not split or len(tables) == 1
        ambiguous = names.count(name) > 1 and table != "train"
        label = f"{table}/{name}" if ambiguous or not plain else name
        refs.append(SeriesRef(table, name, label, roles.get((table, name))))
    return refs
