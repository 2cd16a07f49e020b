"""What `traintop describe` says: what was recognised in a path, and what was not."""

from __future__ import annotations

import msgspec
import numpy as np

from traintop import strict_json
from traintop.records import Checkpoint, Skipped, SourceReport, State
from traintop.session import Session


class SourceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: str
    format: str
    records: int
    skipped: tuple[Skipped, ...]
    skipped_total: int
    ignored: dict[str, int]
    """Keys whose values are no numbers, and how many of them were left aside."""
    error: str | None = None


class SeriesDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One series of the newest run; the extremes are of its finite values."""

    name: str
    role: str | None
    axis: str
    points: int
    first_step: int
    last_step: int
    min: float | None
    max: float | None
    last: float | None
    nonfinite: int


class LayersDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The per-layer statistics of the newest run."""

    names: int
    records: int


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


def describe(session: Session, now: float) -> Description:
    """Describe a session that has been read."""
    run = session.run()
    layers = run.layers if run is not None else None
    state = session.state(now)
    return Description(
        path=str(session.path),
        state="unknown" if state == "waiting" else state,
        runs=len(session.store.runs),
        sources=tuple(_source(report) for report in session.reports()),
        series=tuple(_series(session)),
        layers=LayersDescription(
            names=len(layers.names.names) if layers is not None else 0,
            records=len(layers) if layers is not None else 0,
        ),
        checkpoints=tuple(session.checkpoints()),
        log_lines=len(session.store.log) + session.store.log.dropped,
    )


def _source(report: SourceReport) -> SourceDescription:
    return SourceDescription(
        path=str(report.path),
        format=report.format,
        records=report.records,
        skipped=report.skipped,
        skipped_total=report.skipped_total,
        ignored=report.ignored,
        error=report.error,
    )


def _series(session: Session) -> list[SeriesDescription]:
    described: list[SeriesDescription] = []
    run = session.run()
    if run is None:
        return described
    for ref in session.catalogue.refs(run):
        table = run.tables[ref.table]
        series = table.series[ref.name]
        summary = series.summary()
        if not summary.points:
            continue
        ends = np.array([series.row_of(0), series.row_of(summary.points - 1)])
        steps = table.steps_of(ends)
        described.append(
            SeriesDescription(
                name=ref.label,
                role=ref.role,
                axis="step",
                points=summary.points,
                first_step=int(steps[0]),
                last_step=int(steps[1]),
                min=summary.min,
                max=summary.max,
                last=summary.last,
                nonfinite=summary.nonfinite,
            )
        )
    return described


def to_json(description: Description) -> str:
    """Encode as one line of JSON."""
    return strict_json.encode(description)


def to_text(description: Description) -> str:
    """Write the description for a person."""
    lines = [f"{description.path}: {description.state}, {_count(description.runs, 'run')}"]
    for source in description.sources:
        lines.append(f"  {source.path}: {source.format}, {_count(source.records, 'record')}")
        if source.error:
            lines.append(f"    cannot be read: {source.error}")
        lines += [f"    line {skip.line} passed over: {skip.why}" for skip in source.skipped[:5]]
        if source.skipped_total > 5:
            lines.append(f"    {source.skipped_total} lines passed over in all")
        if source.ignored:
            lines.append(f"    no numbers, left aside: {', '.join(list(source.ignored)[:10])}")
    width = max((len(series.name) for series in description.series), default=0)
    if description.series:
        lines.append(f"  {'series':{width}}  role              points  steps")
    for series in description.series:
        odd = f", {series.nonfinite} not finite" if series.nonfinite else ""
        lines.append(
            f"  {series.name:{width}}  {series.role or '-':16}  {series.points:6}  "
            f"{series.first_step}..{series.last_step}, last {series.last:.5g}{odd}"
        )
    if description.layers.names:
        records = _count(description.layers.records, "record")
        lines.append(f"  layers: {description.layers.names} in {records}")
    if description.log_lines:
        lines.append(f"  log: {_count(description.log_lines, 'line')}")
    for checkpoint in description.checkpoints:
        step = "unknown step" if checkpoint.step is None else f"step {checkpoint.step}"
        lines.append(f"  checkpoint: {checkpoint.path} ({step})")
    return "\n".join(lines)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
