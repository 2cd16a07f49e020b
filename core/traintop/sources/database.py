"""Trackers that keep runs in an SQLite database, which is opened for reading only."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import numpy as np

from traintop.records import Event, Item, SourceReport
from traintop.sources.decoder import Tally
from traintop.sources.jsonl import JsonLines
from traintop.sources.run_settings import run_info_of
from traintop.sources.scalars import Placer, Points

Kind = Literal["trackio", "mlflow"]

BYTES_A_ROW = 100
"""What a row is taken for where bytes are counted."""
WAIT = 0.05
"""Seconds to wait for a writer that has locked the database; it is tried again later."""

_COLUMNS: dict[Kind, frozenset[str]] = {
    "trackio": frozenset({"id", "timestamp", "run_name", "step", "metrics"}),
    "mlflow": frozenset({"key", "value", "timestamp", "run_uuid", "step", "is_nan"}),
}
_RUN: dict[Kind, str] = {"trackio": "run_name", "mlflow": "run_uuid"}
_ROWS: dict[Kind, str] = {
    "trackio": "SELECT rowid, step, timestamp, metrics FROM metrics",
    "mlflow": "SELECT rowid, key, value, timestamp, step, is_nan FROM metrics",
}
_PARAMS = "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key LIMIT 1000"
_STATUS = "SELECT status FROM runs WHERE run_uuid = ?"
_CONFIG = "SELECT config FROM configs WHERE run_name = ? ORDER BY id DESC LIMIT 1"
_LARGEST = 1.7976931348623157e308
"""What MLflow puts in place of an infinity."""
_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}


def database_kind(path: Path) -> Kind | None:
    """Whose runs a database holds; None if it is one of another program, or damaged."""
    with contextlib.suppress(sqlite3.Error), _open(path) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(metrics)")}
        return next((kind for kind, needed in _COLUMNS.items() if needed <= columns), None)
    return None


class DatabaseSource:
    """Follows the runs of a database, each after the one that began before it.

    Of runs that are written at the same time the newest is followed once all are read.

    Args:
        path: The database.
        kind: Whose it is.
        table: The table of the rows.
    """

    held_open = False
    awaited = None
    polled = True

    def __init__(self, path: Path, kind: Kind, table: str) -> None:
        self._path = path
        self._kind: Kind = kind
        self._table = table
        self._run: str | None = None  # the one that is read
        self._began = -1  # its first row
        self._read = 0  # its last row that was read
        self._reader: JsonLines | Placer = self._new_reader()
        self._tables: dict[str, None] = {}
        self._tally = Tally()
        self._seen = (-1, -1)  # sizes of the database and of its log when all was read
        self._error: str | None = None
        self._settings_told: object = None
        self._status_told: object = None

    @property
    def path(self) -> Path:
        """The database."""
        return self._path

    @property
    def pending(self) -> bool:
        """Whether it has changed since all of it was read."""
        return self._error is None and self._state() != self._seen

    def read(self, max_bytes: int) -> list[Item]:
        """Read rows that are new, of one run."""
        state = self._state()
        if state == self._seen:
            return []
        try:
            with _open(self._path) as connection:
                if self._run is None and not self._next_run(connection):
                    self._seen = state
                    return []
                rows = self._rows(connection, max(max_bytes // BYTES_A_ROW, 100))
                settings, status = self._asked(connection)
                items = [*self._configured(settings), *self._items(rows)]
                if not rows:
                    items += self._ended(status)
                    if not self._next_run(connection):
                        self._seen = state
                self._error = None
                return items
        except sqlite3.Error as error:
            self._error = str(error)
            return []

    def finish(self) -> list[Item]:
        """Hand over what was held back."""
        return self._reader.finish() if isinstance(self._reader, JsonLines) else []

    def report(self) -> SourceReport:
        """What it turned out to be, as far as it was read."""
        size = max(self._state()[0], 0)
        return SourceReport(
            path=self._path,
            format=self._kind,
            why="it is an SQLite database with the tables of its kind",
            records=self._tally.records,
            bytes_read=0 if self.pending else size,
            bytes_total=size,
            ignored=dict(self._tally.ignored),
            error=self._error,
        )

    def close(self) -> None:
        """Nothing is kept open."""

    def _state(self) -> tuple[int, int]:
        """What tells that something was written: when the database and its log were."""
        times: list[int] = []
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            try:
                times.append(path.stat().st_mtime_ns)
            except OSError:
                times.append(-1)
        return times[0], times[1]

    def _new_reader(self) -> JsonLines | Placer:
        if self._kind == "trackio":
            return JsonLines(self._table, format=self._kind)
        return Placer(self._table)

    def _next_run(self, connection: sqlite3.Connection) -> bool:
        """Go on to the run that began after this one; False if there is none."""
        run = _RUN[self._kind]
        found = connection.execute(
            f"SELECT {run}, MIN(rowid) AS began FROM metrics GROUP BY {run} "  # noqa: S608 - ours
            "HAVING began > ? ORDER BY began LIMIT 1",
            (self._began,),
        ).fetchone()
        if found is None:
            return False
        self._run, self._began = found
        self._read = self._began - 1
        self._reader = self._new_reader()
        return True

    def _rows(self, connection: sqlite3.Connection, most: int) -> list[tuple[Any, ...]]:
        rows = connection.execute(
            f"{_ROWS[self._kind]} WHERE {_RUN[self._kind]} = ? AND rowid > ? "
            "ORDER BY rowid LIMIT ?",
            (self._run, self._read, most),
        ).fetchall()
        if rows:
            self._read = rows[-1][0]
        self._tally.records += len(rows)
        return rows

    def _items(self, rows: list[tuple[Any, ...]]) -> list[Item]:
        if not rows:
            return []
        if isinstance(self._reader, JsonLines):
            return self._reader.feed(b"".join(_line(*row[1:]) for row in rows))
        numbers = [_number(*row[1:]) for row in rows]
        tags = np.array([self._reader.number(row[1]) for row in rows])
        steps, times, values = np.array(numbers, np.float64).T
        order = np.lexsort((steps, times))
        return list(self._reader.rows(Points(tags, steps, times, values).at(order)))

    def _configured(self, settings: dict[str, str]) -> list[Item]:
        """The settings of the run, when they are new."""
        if (told := (self._run, settings)) == self._settings_told:
            return []
        self._settings_told = told
        info = run_info_of(settings)
        return [] if info is None else [info]

    def _ended(self, status: str) -> list[Item]:
        """The end of the run, when it is new: it comes behind the last row."""
        if (told := (self._run, status)) == self._status_told:
            return []
        self._status_told = told
        action = _ENDED.get(status)
        return [] if action is None else [Event(event="control", fields={"action": action})]

    def _asked(self, connection: sqlite3.Connection) -> tuple[dict[str, str], str]:
        """The settings and the status of the run."""
        status = ""
        if self._kind == "mlflow":
            settings = dict(self._about(connection, _PARAMS))
            status = next((str(found) for (found,) in self._about(connection, _STATUS)), "")
        else:
            configs = self._about(connection, _CONFIG)
            settings = _object(configs[0][0]) if configs else {}
        return {key: str(value) for key, value in settings.items() if value is not None}, status

    def _about(self, connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
        """What a table beside the metrics says of the run; nothing if there is no such table."""
        with contextlib.suppress(sqlite3.OperationalError):
            return connection.execute(query, (self._run,)).fetchall()
        return []


@contextlib.contextmanager
def _open(path: Path) -> Generator[sqlite3.Connection]:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=WAIT)
    try:
        yield connection
    finally:
        connection.close()


def _line(step: Any, timestamp: Any, metrics: Any) -> bytes:
    """A row of trackio as a line of JSON."""
    row = _object(metrics)
    return msgspec.json.encode({"_step": step, "_timestamp": timestamp, **row}) + b"\n"


def _object(text: Any) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return {}


def _number(
    _key: Any, value: Any, timestamp: Any, step: Any, is_nan: Any
) -> tuple[float, float, float]:
    """Step, time and value of a row of MLflow."""
    try:
        number = math.nan if is_nan else float(value)
        if abs(number) >= _LARGEST:
            number = math.copysign(math.inf, number)
        return float(step), float(timestamp) * 1e-3, number
    except (TypeError, ValueError):
        return math.nan, math.nan, math.nan
