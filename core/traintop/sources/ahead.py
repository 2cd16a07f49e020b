"""Reading what is there of a source from its start, in a process of its own."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

from traintop.records import News, Reread, SourceReport
from traintop.sources.mark import Mark, Marking
from traintop.sources.reader_process import Opening, ReaderProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from traintop.sources.source import Source


class Part(NamedTuple):
    """What the other process tells at a time."""

    items: Sequence[News]
    report: SourceReport
    tables: tuple[str, ...]
    """Where its rows went so far."""
    source: bytes | None = None
    """With the last part: the source, pickled, to go on from."""


class Ahead:
    """A source whose present content is read by another process; what comes later is read here.

    The other process reads the very same kind of source to its end, and sends it then.

    Args:
        path: What was opened.
        source: Reads it here; nothing was read of it.
        opening: How the other process opens it.
    """

    held_open = False

    def __init__(self, path: Path, source: Source, opening: Opening) -> None:
        self._opened = path
        self._source = source
        self._process: ReaderProcess[Part] | None = ReaderProcess(opening._asdict())
        self._part: Part | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._source.path

    @property
    def pid(self) -> int | None:
        """The other process, while it reads."""
        return None if self._process is None else self._process.pid

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        return self._process is not None or self._source.pending

    @property
    def awaited(self) -> int | None:
        """The pipe that more will come from, where there is nothing else to be read at once."""
        if self._process is None:
            return self._source.awaited
        return None if self._process.gather() else self._process.fileno()

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return self._source.polled

    @property
    def tables(self) -> tuple[str, ...]:
        """Where its rows went so far."""
        if self._process is None:
            return self._source.tables if isinstance(self._source, Marking) else ()
        return () if self._part is None else self._part.tables

    def read(self, max_bytes: int) -> Sequence[News]:
        """Take what the other process has read; at most `max_bytes` where it is read here."""
        process = self._process
        if process is None:
            return self._source.read(max_bytes)
        part = process.take()
        if part is not None:
            self._part = part
            if part.source is not None:
                self._leave()
                self._source.close()
                self._source = pickle.loads(part.source)  # noqa: S301 - of our own process
            return part.items
        if process.failed is None:
            return []
        self._leave()
        if self._part is None:  # It could not be started: nothing is lost.
            return self._source.read(max_bytes)
        return [Reread(path=self._opened, why=process.failed)]

    def finish(self) -> Sequence[News]:
        """Hand over what was held back."""
        return [] if self._process is not None else self._source.finish()

    def mark(self) -> Mark | None:
        """How far the file was read; None where nothing can go on from there."""
        source = self._source
        return source.mark() if self._process is None and isinstance(source, Marking) else None

    def resume(self, mark: Mark) -> bool:
        """Go on from a mark, before anything is read; False where the file is another now."""
        source = self._source
        if not isinstance(source, Marking) or not source.resume(mark):
            return False
        self._process = None
        return True

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        if self._process is None or self._part is None:
            return self._source.report()
        return self._part.report

    def close(self) -> None:
        """Let go of the file."""
        self._leave()
        self._source.close()

    def _leave(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()


def parts_of(source: Source, max_bytes: int, handle: Callable[[Part], None]) -> None:
    """Read a source to its present end, and at last hand over the source itself.

    Args:
        source: Is closed in the end.
        max_bytes: Bytes read at a time.
        handle: Called with each part.
    """
    while True:
        items = source.read(max_bytes)
        tables = source.tables if isinstance(source, Marking) else ()
        if not source.pending:
            break
        handle(Part(items, source.report(), tables))
    report = source.report()
    source.close()
    handle(Part(items, report, tables, pickle.dumps(source, protocol=5)))
