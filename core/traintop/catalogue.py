"""The series of a run: what each is called on the screen, and which one has which role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

from traintop.given_roles import NO_ROLE
from traintop.sources.roles import Choice, averaged_word, choose_all, unit_in_words, unit_of
from traintop.store import Run, Table

RoleFrom = Literal["name", "settings", "you"]


class SeriesRef(NamedTuple):
    """One series of a run."""

    table: str
    name: str
    """As its writer has it."""
    label: str
    """Unique in the run: the name, with the table before it where that is needed."""
    role: str | None
    role_from: RoleFrom | None = None
    """Who says so, also where it is that the series has no role; None where nobody does."""
    why: str = ""
    """Why it has the role, in words."""
    averaged: str | None = None
    """The word of its name that says that its values are means over some past."""
    unit: str | None = None
    """As its values or its name give it: `ms`, `GiB`, `tokens/s`."""


class Catalogue:
    """Names the series of runs. Remembers a run's answer until it has another series.

    Args:
        settings: Roles that the settings give, by the label or the name of the series; `none`
            takes a role away.
        yours: The same as a person gave them on the screen, which count more.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, yours: Mapping[str, str] | None = None
    ) -> None:
        self.settings = dict(settings or {})
        self.yours = dict(yours or {})
        self._units: dict[str, str] = {}
        self._known: dict[int, tuple[Run, tuple[int, int], list[SeriesRef]]] = {}

    def copy(self) -> Catalogue:
        """Return one that knows the same of other runs."""
        other = Catalogue(self.settings, self.yours)
        other._units = dict(self._units)
        return other

    def give(self, yours: Mapping[str, str]) -> None:
        """Take the roles that a person gives, in place of those given before."""
        self.yours = dict(yours)
        self._known = {}

    def learn_units(self, written: Mapping[str, str]) -> None:
        """Take the units that are written behind the values of series, by name."""
        new = {name: unit for name, unit in written.items() if name not in self._units}
        if new:
            self._units |= {name: unit_in_words(unit) for name, unit in new.items()}
            self._known = {}

    def refs(self, run: Run) -> list[SeriesRef]:
        """Return all series, in the order in which they turned up."""
        series = run.series_known
        known = self._known.get(run.index)
        if known is None or known[0] is not run or known[1] != series:
            known = self._known[run.index] = (run, series, self._name(list(run.tables.values())))
        return known[2]

    def by_role(self, run: Run, role: str) -> SeriesRef | None:
        """Return the series that has a role, if one has."""
        return next((ref for ref in self.refs(run) if ref.role == role), None)

    def is_averaged(self, run: Run, role: str) -> bool:
        """Tell whether the series that has a role is known to be a mean over some past."""
        ref = self.by_role(run, role)
        return ref is not None and ref.averaged is not None

    def roles_of(self, run: Run, table: str) -> dict[str, str]:
        """Return series name -> role for those series of a table that have one."""
        return {
            ref.name: ref.role
            for ref in self.refs(run)
            if ref.table == table and ref.role is not None
        }

    def unused(self, run: Run) -> list[str]:
        """Return the names that the settings speak of and no series has."""
        known = {name for ref in self.refs(run) for name in (ref.label, ref.name)}
        return [name for name in self.settings if name not in known]

    def _name(self, tables: list[Table]) -> list[SeriesRef]:
        series = [(table.name, name) for table in tables for name in list(table.series)]
        labels = _labels(series)
        names = {table.name: frozenset(table.series) for table in tables}
        given: dict[tuple[str, str], str] = {}
        origins: dict[tuple[str, str], RoleFrom] = {}
        sources: tuple[tuple[RoleFrom, dict[str, str]], ...]
        sources = ("settings", self.settings), ("you", self.yours)
        for origin, roles in sources:
            for key, role in roles.items():
                # A label means one series; a name the first that has it.
                found = [each for each in series if labels[each] == key]
                found += [each for each in series if each[1] == key]
                if found:
                    for each in [each for each, other in given.items() if other == role != NO_ROLE]:
                        del given[each]
                    given[found[0]], origins[found[0]] = role, origin
        chosen = choose_all(series, given)
        refs: list[SeriesRef] = []
        for each in series:
            choice = chosen.get(each, Choice(None, ""))
            said: RoleFrom | None = "name" if choice.role else None
            if each in given:
                said = origins[each]
            refs.append(
                SeriesRef(
                    *each,
                    labels[each],
                    choice.role,
                    said,
                    _WORDS.get(said, choice.why),
                    averaged_word(each[1], names[each[0]]),
                    self._units.get(each[1]) or unit_of(each[1], choice.role),
                )
            )
        return refs


_WORDS: dict[RoleFrom | None, str] = {
    "settings": "your settings say so",
    "you": "you said so",
}


def _labels(series: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    names = Counter(name for _, name in series)
    tables = {table for table, _ in series}
    # The name of the one file that all of them are of says nothing.
    files = {table.partition("/")[0] for table in tables}
    if len(files) == 1 < len(tables) and all("/" in table for table in tables):
        short = [(table.partition("/")[2], name) for table, name in series]
        return dict(zip(series, _labels(short).values(), strict=True))
    split = "val" in tables
    beside = tables - {"val"}
    main = beside.pop() if len(beside) == 1 else "train"  # mmengine calls it `scalars`
    labels: dict[tuple[str, str], str] = {}
    for table, name in series:
        plain = table == main or not split or len(tables) == 1
        ambiguous = names[name] > 1 and table != main
        labels[table, name] = f"{table}/{name}" if ambiguous or not plain else name
    return labels
