"""Are real logs read right? Holds what `traintop describe` makes of files against what is true.

    python bench/recognition.py MANIFEST FOLDER [--only ID ...] [--json]

MANIFEST is a table with tabs and the columns `file`, `records`, `metrics (raw keys)`, `first_step`
and `last_step` (others are shown or passed over), made by looking at the files; FOLDER holds them.
A file is exact if it is recognised and its number of points and its last step are those of the
manifest. What is a point and a step is not the same for all who count: a file of training and
evaluation records may have both or only the first counted, one without steps may be counted from 0
or 1. So each number of `readings` is allowed, and which of them it was is shown.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from traintop.errors import TraintopError
from traintop.opening import read_whole
from traintop.session import Session
from traintop.settings import Settings

_NOT_WORDS = re.compile(r"[^a-z0-9]+")
_AXES = {"step", "epoch", "time", "iter", "iteration", "wall_time", "timestamp", "runtime"}


class Truth(NamedTuple):
    """What a file holds."""

    file: str
    kind: str
    records: int
    names: tuple[str, ...]
    first: float | None
    last: float | None


class Read(NamedTuple):
    """What was made of it."""

    format: str
    points: dict[str, int]
    """By way of counting."""
    firsts: dict[str, float]
    lasts: dict[str, float]
    names: frozenset[str]
    runs: int
    skipped: int
    seconds: float
    error: str = ""


class Verdict(NamedTuple):
    """How the two agree."""

    recognised: bool
    points: str
    """The way of counting that gives the truth; empty where none does."""
    first: str
    last: str
    names: float
    """Share of the names of the truth that were found."""

    @property
    def exact(self) -> bool:
        """Whether it was read right."""
        return self.recognised and bool(self.points) and bool(self.last)


def truths(manifest: Path) -> list[Truth]:
    """Read the manifest."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Truth(
            row["file"],
            row.get("format", ""),
            int(row["records"] or 0),
            _names(row.get("metrics (raw keys)") or row.get("metrics") or ""),
            _number(row["first_step"]),
            _number(row["last_step"]),
        )
        for row in rows
    ]


def _names(text: str) -> tuple[str, ...]:
    parts = (part.strip() for part in re.sub(r"\.\.\. ?\+\d+$", "", text).split(","))
    return tuple(part for part in parts if part)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read(path: Path) -> Read:
    """Read a file as `traintop describe` does."""
    begin = time.perf_counter()
    try:
        session = read_whole(path, Settings(), judge=False)
    except TraintopError as error:
        seconds = time.perf_counter() - begin
        return Read("", {}, {}, {}, frozenset(), 0, 0, seconds, str(error))
    seconds = time.perf_counter() - begin
    reports = session.reports()
    return Read(
        ", ".join(sorted({report.format for report in reports})),
        *readings(session),
        frozenset(
            name
            for run in session.store.runs
            for ref in session.catalogue.refs(run)
            for name in (ref.label, ref.name)
        ),
        len(session.store.runs),
        sum(report.skipped_total for report in reports),
        seconds,
        "; ".join(report.error for report in reports if report.error),
    )


def readings(session: Session) -> tuple[dict[str, int], dict[str, float], dict[str, float]]:
    """Return the points, first steps and last steps, each by way of counting."""
    tables: dict[str, list[np.ndarray]] = {}
    longest: dict[str, int] = {}
    for run in session.store.runs:
        for table in run.tables.values():
            tables.setdefault(table.name, []).append(table.step)
            for name, series in table.series.items():
                longest[name] = longest.get(name, 0) + len(series)
    if not longest:
        return {"": 0}, {}, {}
    rows = {name: sum(map(len, parts)) for name, parts in tables.items()}
    main = max(rows, key=lambda name: rows[name])
    steps = [part for parts in tables.values() for part in parts]
    points = {
        "records": sum(report.records for report in session.reports()),
        "rows": sum(rows.values()),
        f"rows of {main}": rows[main],
        "longest series": max(longest.values()),
        "different steps": sum(
            len(np.unique(np.concatenate([table.step for table in run.tables.values()])))
            for run in session.store.runs
        ),
    }
    ends = {
        "steps": (min(part[0] for part in steps), max(part[-1] for part in steps)),
        f"of {main}": (
            min(part[0] for part in tables[main]),
            max(part[-1] for part in tables[main]),
        ),
        "from 0": (0, rows[main] - 1),
        "from 1": (1, rows[main]),
    }
    firsts = {way: float(first) for way, (first, _) in ends.items()}
    return points, firsts, {way: float(last) for way, (_, last) in ends.items()}


def compare(truth: Truth, found: Read) -> Verdict:
    """Hold what was made of a file against the truth."""
    if not truth.records:
        nothing = not any(found.points.values())
        return Verdict(nothing, "none" * nothing, "none" * nothing, "none" * nothing, 1.0)
    return Verdict(
        recognised=any(found.points.values()),
        points=_way(found.points, truth.records),
        first=_way(found.firsts, truth.first),
        last=_way(found.lasts, truth.last),
        names=_share(truth.names, found.names),
    )


def _way(ways: dict[str, int] | dict[str, float], true: float | None) -> str:
    if true is None:
        return "not said"
    return next((way for way, number in ways.items() if number == true), "")


def _share(names: tuple[str, ...], found: frozenset[str]) -> float:
    """Return the share of names that were found, however they are punctuated or prefixed."""
    wanted = [_plain(name) for name in names]
    wanted = [name for name in wanted if name.rpartition("_")[2] not in _AXES]
    have = {_plain(name) for name in found}
    hits = sum(
        any(
            name == other or other.endswith(f"_{name}") or name.endswith(f"_{other}")
            for other in have
        )
        for name in wanted
    )
    return hits / len(wanted) if wanted else 1.0


def _plain(name: str) -> str:
    return _NOT_WORDS.sub("_", name.lower()).strip("_")


def main() -> int:
    """Print a table and the share that is exact; 0 where all are recognised."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="beginnings of names")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    verdicts: list[Verdict] = []
    head = f"{'file':44} {'format':12} {'points':>14} {'last step':>17} {'names':>5} {'s':>5}"
    if not parsed.json:
        print(f"   {head}")
    for truth in truths(parsed.manifest):
        if parsed.only and not truth.file.startswith(tuple(parsed.only)):
            continue
        found = read(parsed.folder / truth.file)
        verdict = compare(truth, found)
        verdicts.append(verdict)
        if parsed.json:
            read_as = found._asdict() | {"names": sorted(found.names)}
            agree = verdict._asdict() | {"exact": verdict.exact}
            print(json.dumps({"truth": truth._asdict(), "read": read_as, "verdict": agree}))
            continue
        print(_row(truth, found, verdict))
    recognised = sum(verdict.recognised for verdict in verdicts)
    exact = sum(verdict.exact for verdict in verdicts)
    firsts = sum(bool(verdict.first) for verdict in verdicts)
    names = float(np.mean([verdict.names for verdict in verdicts])) if verdicts else 0.0
    print(
        f"{len(verdicts)} files: {recognised} recognised, {exact} exact "
        f"({exact / max(len(verdicts), 1):.0%}); first step right in {firsts}, "
        f"{names:.0%} of the names found",
        file=sys.stderr if parsed.json else sys.stdout,
    )
    return 0 if recognised == len(verdicts) else 1


def _row(truth: Truth, found: Read, verdict: Verdict) -> str:
    points = found.points.get(verdict.points, next(iter(found.points.values()), 0))
    lasts = found.lasts.get(verdict.last, next(iter(found.lasts.values()), float("nan")))
    sign = "ok" if verdict.exact else "! " if verdict.recognised else "X "
    true_last = "-" if truth.last is None else f"{truth.last:g}"
    row = (
        f"{sign} {truth.file[:44]:44} {(found.format or '?')[:12]:12} "
        f"{f'{points}/{truth.records}':>14} {f'{lasts:.7g}/{true_last}':>17} "
        f"{verdict.names:>5.0%} {found.seconds:5.2f}"
    )
    return row + (f"\n     {found.error}" if found.error else "")


if __name__ == "__main__":
    sys.exit(main())
