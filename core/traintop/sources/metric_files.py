"""Stores that keep a file for each metric: MLflow's `metrics/` and DVCLive's `plots/metrics/`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from traintop.records import Event, Item, Reset, Skipped, SourceReport
from traintop.sources.decoder import SKIPS_KEPT, Tally
from traintop.sources.lines import LineSplitter
from traintop.sources.run_settings import run_info_of
from traintop.sources.scalars import NO_POINTS, Placer, Points
from traintop.sources.tail import FileTail

if TYPE_CHECKING:
    from traintop.records import Floats

Kind = Literal["mlflow", "dvclive"]

MAX_FILES = 2000
MAX_SETTING = 500
"""Bytes of a setting that is looked at."""

_METRICS: dict[Kind, str] = {"mlflow": "metrics", "dvclive": "plots/metrics"}
_WHY: dict[Kind, str] = {
    "mlflow": "its folder has a meta.yaml and a file for each metric, as MLflow keeps them",
    "dvclive": "its folder has a table for each metric in plots/metrics, as DVCLive keeps them",
}
_STATUS = re.compile(rb"^status:\s*(\w+)", re.MULTILINE)
_ENDED = {
    b"3": "finished", b"FINISHED": "finished",
    b"4": "failed", b"FAILED": "failed", b"5": "failed", b"KILLED": "failed",
}  # fmt: skip
"""The status in meta.yaml, as a number or a word, of a run that has ended."""
_SETTING = re.compile(r"^(\w+):[ \t]*(\S.*)$", re.MULTILINE)


class _Metric:
    """The file of one metric: whole lines in, numbers out."""

    def __init__(self, path: Path, name: str, kind: Kind) -> None:
        self.tail = FileTail(path)
        self.tally = Tally()
        self.name = name
        self.reached = -np.inf
        """What the points are in the order of, of the last one that was read."""
        self._lines = LineSplitter()
        self._kind: Kind = kind
        # Which columns hold time, value and step.
        self._columns: tuple[int | None, int, int] | None = (0, 1, 2) if kind == "mlflow" else None

    def read(self, max_bytes: int) -> tuple[Floats, bool]:
        """Take what is new, shape (n, 3): time, value, step; and whether it is another file now."""
        chunk = self.tail.read(max_bytes)
        lines = self._lines.feed(chunk.data).splitlines()
        if self._columns is None and lines:
            self._columns = _columns(lines.pop(0))
        rows: list[tuple[float, float, float]] = []
        for line in lines:
            self.tally.lines += 1
            row = self._row(line.split(b"\t") if self._kind == "dvclive" else line.split())
            if row is None:
                self.tally.skip(self.tally.lines, "not a time, a value and a step")
            else:
                rows.append(row)
        self.tally.records += len(rows)
        return np.array(rows, np.float64).reshape(-1, 3), chunk.reset

    def _row(self, cells: list[bytes]) -> tuple[float, float, float] | None:
        time, value, step = self._columns or (None, 1, 0)
        try:
            when = np.nan if time is None else float(cells[time]) * 1e-3
            return when, float(cells[value]), float(cells[step])
        except (ValueError, IndexError):
            return None


class MetricFiles:
    """Follows the folder of a run of MLflow or DVCLive.

    Points are handed over in the order of their times (MLflow) or steps (DVCLive), whichever file
    they come from.

    Args:
        folder: The folder of the run.
        kind: Whose it is.
        table: The table of its rows.
    """

    held_open = False
    awaited = None

    def __init__(self, folder: Path, kind: Kind, table: str) -> None:
        self._folder = folder
        self._kind: Kind = kind
        self._placer = Placer(table)
        self._metrics: dict[Path, _Metric] = {}
        self._folders: dict[Path, int] = {}
        self._waiting = NO_POINTS
        self._told: dict[str, int] = {}
        self._error: str | None = None

    @property
    def path(self) -> Path:
        """The file that tells how the run stands."""
        name = "meta.yaml" if self._kind == "mlflow" else "metrics.json"
        return self._folder / name

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        return not self._folders or any(one.tail.pending for one in self._metrics.values())

    @property
    def polled(self) -> bool:
        """Changes of the many files are looked for."""
        return True

    def read(self, max_bytes: int) -> list[Item]:
        """Read about `max_bytes` that are new, of all files alike."""
        self._list()
        items: list[Item] = [*self._about()]
        share = max(max_bytes // max(len(self._metrics), 1), 1 << 12)
        parts = [self._waiting]
        for path, metric in self._metrics.items():
            rows, reset = metric.read(share)
            if reset:
                return [Reset(path=path, tables=self._placer.tables)]
            if len(rows):
                times, values, steps = rows.T
                tags = np.full(len(rows), self._placer.number(metric.name))
                parts.append(Points(tags, steps, times, values))
                metric.reached = float((times if self._kind == "mlflow" else steps).max())
        return items + self._settled(parts)

    def finish(self) -> list[Item]:
        """Hand over what was held back."""
        waiting, self._waiting = self._waiting, NO_POINTS
        return list(self._placer.rows(waiting))

    def report(self) -> SourceReport:
        """What the files turned out to be, as far as they were read."""
        metrics = self._metrics.values()
        skipped = [
            Skipped(line=skip.line, why=f"{one.name}: {skip.why}")
            for one in metrics
            for skip in one.tally.skipped
        ]
        return SourceReport(
            path=self.path,
            format=self._kind,
            why=_WHY[self._kind],
            records=sum(one.tally.records for one in metrics),
            bytes_read=sum(one.tail.bytes_read for one in metrics),
            bytes_total=sum(one.tail.bytes_total for one in metrics),
            skipped=tuple(skipped[:SKIPS_KEPT]),
            skipped_total=sum(one.tally.skipped_total for one in metrics),
            error=self._error,
        )

    def close(self) -> None:
        """Let go of the files."""
        for metric in self._metrics.values():
            metric.tail.close()

    def _settled(self, parts: Sequence[Points]) -> list[Item]:
        """Rows of the points that no file has any before; the others wait."""
        points = Points.joined(parts)
        order = points.times if self._kind == "mlflow" else points.steps
        pending = [one.reached for one in self._metrics.values() if one.tail.pending]
        ready = order <= min(pending, default=np.inf)
        self._waiting = points.at(np.flatnonzero(~ready))
        chosen = np.flatnonzero(ready)
        # Of points at one time those of the earlier step come first.
        chosen = chosen[np.lexsort((points.steps[chosen], order[chosen]))]
        return list(self._placer.rows(points.at(chosen)))

    def _list(self) -> None:
        """Look for metrics that have come, in the folders that have changed."""
        root = self._folder / _METRICS[self._kind]
        self._folders.setdefault(root, -1)
        folders = list(self._folders)
        for folder in folders:  # which grows by those that are found
            try:
                modified = folder.stat().st_mtime_ns
                if modified == self._folders[folder]:
                    continue
                self._folders[folder] = modified
                for path in sorted(folder.iterdir()):
                    if path.is_dir():
                        if path not in self._folders and not path.is_symlink():
                            self._folders[path] = -1
                            folders.append(path)
                    elif path not in self._metrics and len(self._metrics) < MAX_FILES:
                        self._add(path, root)
            except OSError as error:
                self._error = error.strerror or str(error)

    def _add(self, path: Path, root: Path) -> None:
        relative = path.relative_to(root)
        if self._kind == "dvclive":
            if path.suffix != ".tsv":
                return
            relative = relative.with_suffix("")
        self._metrics[path] = _Metric(path, relative.as_posix(), self._kind)

    def _about(self) -> list[Item]:
        """How the run stands and what its settings are, each time that a file says it anew."""
        items: list[Item] = []
        if self._kind == "mlflow":
            if (meta := self._changed(self.path)) is not None:
                status = _STATUS.search(meta)
                action = _ENDED.get(status[1]) if status else None
                if action is not None:
                    items.append(Event(event="control", fields={"action": action}))
            params = self._folder / "params"
            if self._changed(params, folder=True) is not None:
                items += self._settings({path.name: _setting(path) for path in params.iterdir()})
        elif (text := self._changed(self._folder / "params.yaml")) is not None:
            items += self._settings(dict(_SETTING.findall(text.decode("utf-8", "replace"))))
        return items

    def _settings(self, settings: dict[str, str]) -> list[Item]:
        info = run_info_of(settings)
        return [] if info is None else [info]

    def _changed(self, path: Path, *, folder: bool = False) -> bytes | None:
        """The first bytes of a small file, if it has changed since it was last looked at."""
        try:
            modified = path.stat().st_mtime_ns
            if self._told.get(path.name) == modified:
                return None
            self._told[path.name] = modified
            return b"" if folder else path.read_bytes()[: 1 << 16]
        except OSError:
            return None


class _Where(NamedTuple):
    """Columns of a table of DVCLive."""

    time: int | None
    value: int
    step: int


def _columns(header: bytes) -> _Where:
    names = header.split(b"\t")
    time = names.index(b"timestamp") if b"timestamp" in names else None
    step = names.index(b"step") if b"step" in names else 0
    return _Where(time, len(names) - 1, step)


def _setting(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SETTING).decode("utf-8", "replace").strip()
    except OSError:
        return ""
