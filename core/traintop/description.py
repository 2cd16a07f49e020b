"""What `traintop describe` says: what was recognised in a path, why, and what was not."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from traintop import strict_json
from traintop.catalogue import RoleFrom, SeriesRef
from traintop.meaning import Meaning, meanings
from traintop.records import Checkpoint, Skipped, SourceReport, State
from traintop.session import Session
from traintop.store import AxisMap, Run

EXAMPLE = 100
"""Letters of a line that is shown as an example."""


class SourceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: str
    format: str
    records: int
    skipped: tuple[Skipped, ...]
    skipped_total: int
    ignored: dict[str, int]
    """Keys whose values are no numbers, and how many of them were left aside."""
    why: str
    """By what its format was recognised."""
    notes: dict[str, int]
    """What was noticed in reading it, and in how many records."""
    error: str | None = None


class SeriesDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One series of the newest run; the extremes are of its finite values."""

    name: str
    role: str | None
    axis: Literal["step", "epoch", "record"]
    """What its steps count."""
    points: int
    first_step: int
    last_step: int
    min: float | None
    max: float | None
    last: float | None
    nonfinite: int
    role_from: RoleFrom | None
    """Who says what role it has, or that it has none: its name, the settings or you."""
    why: str
    """Why it has the role."""
    derived_from: str | None
    """The series that it is a copy, a mean or a function of."""
    how: str | None
    """`copy`, `mean`, `exp`, `2^`, `1 -`, `100 -`."""
    averaged: str | None
    """The word of its name that says that it is a mean over some past."""
    unit: str | None
    constant: bool
    quantum: float | None
    """Distance of the grid that its values were written on."""
    digits: int | None
    """Significant digits that it was written with, where these were cut."""


class LayersDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The per-layer statistics of the newest run."""

    names: int
    records: int


class RunDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One of several runs in the same files."""

    first_step: int | None
    last_step: int | None
    records: int
    resumed_at: tuple[int, ...]
    """Steps from which on records were repeated by a run that was resumed; the later ones count."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What `traintop describe --format json` prints, one object a path."""

    schema: str = "traintop.describe/1"
    path: str
    state: State
    runs: int
    sources: tuple[SourceDescription, ...]
    series: tuple[SeriesDescription, ...]
    layers: LayersDescription
    checkpoints: tuple[Checkpoint, ...]
    log_lines: int
    axes: tuple[str, ...]
    """What the x axis may be: `step`, `epoch`, `tokens`, `time`."""
    tokens: str | None
    """The series that counts tokens, samples or environment steps."""
    run_list: tuple[RunDescription, ...]
    unused: tuple[str, ...]
    """Names that the settings give a role to and no series has."""
    same_curves: dict[str, str]
    """Files whose curves another file has as well, and what is made of them."""


def describe(session: Session, now: float) -> Description:
    """Describe a session that has been read."""
    run = session.run()
    layers = run.layers if run is not None else None
    state = session.state(now)
    tokens = None if run is None else session.catalogue.by_role(run, "tokens")
    return Description(
        path=str(session.path),
        state="unknown" if state == "waiting" else state,
        runs=len(session.store.runs),
        sources=tuple(_source(report, session) for report in session.reports()),
        series=tuple(_series(session)),
        layers=LayersDescription(
            names=len(layers.names.names) if layers is not None else 0,
            records=len(layers) if layers is not None else 0,
        ),
        checkpoints=tuple(session.checkpoints()),
        log_lines=len(session.store.log) + session.store.log.dropped,
        same_curves={str(path): what for path, what in session.same_curves().items()},
        axes=() if run is None else _axes(session, run, tokens),
        tokens=None if tokens is None else tokens.label,
        run_list=tuple(map(_run, session.store.runs)),
        unused=() if run is None else tuple(session.catalogue.unused(run)),
    )


def _source(report: SourceReport, session: Session) -> SourceDescription:
    return SourceDescription(
        path=str(report.path),
        format=report.format,
        records=report.records,
        skipped=report.skipped,
        skipped_total=report.skipped_total,
        ignored=report.ignored,
        why=report.why or _example(report, session),
        notes=report.notes,
        error=report.error,
    )


def _example(report: SourceReport, session: Session) -> str:
    """Say by an example what the records of a text log are."""
    run, log = session.run(), session.store.log
    texts = [each for each in session.reports() if each.format == report.format]
    if report.format != "text" or not report.records or len(texts) > 1 or run is None:
        return ""
    at = log.line_at_step(float(run.last_step or 0))
    while at and log.steps[at - 1] == log.steps[at]:
        at -= 1  # Further lines speak of the same step; its first is the record.
    if at is None:
        return ""
    line = log.lines[at].strip()
    cut = line if len(line) <= EXAMPLE else f"{line[:EXAMPLE]}.."
    return f"lines of names and numbers repeat, such as `{cut}`"


def _run(run: Run) -> RunDescription:
    resumed = sorted({int(rewind.step) for rewind in run.rewinds if not rewind.late})
    return RunDescription(
        first_step=run.first_step,
        last_step=run.last_step,
        records=sum(map(len, run.tables.values())),
        resumed_at=tuple(resumed),
    )


def _axes(session: Session, run: Run, tokens: SeriesRef | None) -> tuple[str, ...]:
    main, per_epoch = run.main, session.store.info.steps_per_epoch
    if main is None:
        return ()
    maps = [AxisMap(main, "step"), AxisMap(main, "epoch", per_epoch)]
    if tokens is not None:
        maps.append(AxisMap(run.tables[tokens.table], "tokens", tokens=tokens.name))
    maps.append(AxisMap(main, "time"))
    return tuple(each.axis for each in maps if each.available)


def _series(session: Session) -> list[SeriesDescription]:
    described: list[SeriesDescription] = []
    run = session.run()
    if run is None:
        return described
    refs = session.catalogue.refs(run)
    found = meanings(run, refs)
    for ref in refs:
        table = run.tables[ref.table]
        series = table.series[ref.name]
        summary = series.summary()
        if not summary.points:
            continue
        steps = table.steps_of(np.array([series.row_of(0), series.row_of(summary.points - 1)]))
        meaning = found.get(ref.label, Meaning())
        quantum = meaning.quantum
        described.append(
            SeriesDescription(
                name=ref.label,
                role=ref.role,
                axis=table.counts,
                points=summary.points,
                first_step=int(steps[0]),
                last_step=int(steps[1]),
                min=summary.min,
                max=summary.max,
                last=summary.last,
                nonfinite=summary.nonfinite,
                role_from=ref.role_from,
                why=ref.why,
                derived_from=meaning.derived_from,
                how=meaning.how,
                averaged=meaning.averaged,
                unit=meaning.unit,
                constant=meaning.constant,
                quantum=None if quantum is None else quantum.step,
                digits=None if quantum is None else quantum.digits,
            )
        )
    return described


def to_json(description: Description) -> str:
    """Encode as one line of JSON."""
    return strict_json.encode(description)
