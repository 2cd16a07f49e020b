"""The indexes of a session's files: used when they are opened, written when they have been read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from traintop.cache import cache_folder
from traintop.settings import Settings
from traintop.sources.filesystem import needs_polling
from traintop.sources.mark import Marking
from traintop.sources.registry import Source
from traintop.store import Store

if TYPE_CHECKING:
    from traintop.run_index import RunIndex

LEAST = 16 << 20
"""Bytes of a file that is worth an index."""
GROWN = 1.25
"""By this factor a file must have grown before its index is written anew."""

_MISFIT = (OSError, ValueError, TypeError, KeyError, msgspec.MsgspecError)
"""What a damaged index, or one of another version, may raise."""


class Indexes:
    """Opens files by their indexes, and keeps these up to date.

    Args:
        settings: Whether and where they are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self.writing = True
        """Whether indexes are written."""
        self._folder = cache_folder(settings)
        self._most = int(settings.cache_gb * 1e9)
        self._open: list[RunIndex] = []
        self._writer: threading.Thread | None = None
        self._read_as: dict[Path, str] = {}
        """Files that may have an index -> what else than the file decides what is made of it."""
        self._known: dict[Path, int] = {}
        """Files -> how much of them their index knows."""

    @property
    def unchecked(self) -> bool:
        """Whether what was shown may still turn out to be damaged."""
        return bool(self._open)

    def file_of(self, path: Path) -> Path | None:
        """Return where the index of a file is, or would be; None where it has none."""
        from traintop.run_index import index_of

        if self._folder is None or path not in self._read_as:
            return None
        return index_of(self._folder, path, self._read_as[path])

    def opened(self, open_source: Callable[[], Source], read_as: str, store: Store) -> Source:
        """Open a source; where it has an index, it goes on from the end of that.

        Args:
            open_source: Opens it.
            read_as: What else than the file decides what is made of it.
            store: Takes in what is in the index.
        """
        source = open_source()
        if self._folder is None or not isinstance(source, Marking):
            return source
        self._read_as[source.path] = read_as
        self._known.pop(source.path, None)
        try:
            large = source.path.stat().st_size >= LEAST
        except OSError:
            return source
        file = self.file_of(source.path) if large else None
        if file is None:
            return source
        from traintop.run_index import RunIndex  # Most files have none.

        try:
            index = RunIndex(file, store.storage, mapped=not needs_polling(file))
        except FileNotFoundError:
            return source
        except _MISFIT:
            _delete(file)
            return source
        mark = index.description.mark
        try:
            fits = index.description.path == str(source.path.absolute())
            if not fits or not source.resume(mark):
                raise ValueError("it is of another file")
            index.restore(store)
        except _MISFIT:
            index.close()
            _delete(file)
            source.close()
            return open_source()
        self._open.append(index)
        self._known[source.path] = mark.place.offset
        return source

    def check(self) -> bool:
        """Check a part of what was shown; False where it was damaged: all is to be read anew."""
        while self._open:
            index = self._open[-1]
            try:
                if index.check():
                    return True
            except _MISFIT:
                _delete(index.file)
                self.close()
                return False
            index.close()
            self._open.pop()
        return True

    def write(self, sources: Sequence[Source], store: Store) -> None:
        """Have the indexes of large files written that were read whole, by another thread."""
        if self._folder is None or not self.writing or self.unchecked:
            return
        if self._writer is not None and self._writer.is_alive():
            return
        marking = [source for source in sources if isinstance(source, Marking)]
        jobs: list[Callable[[], object]] = []
        for source in marking:
            path, size = source.path, source.report().bytes_read
            if size < max(LEAST, GROWN * self._known.get(path, 0)):
                continue
            from traintop.run_index import write_index

            file = self.file_of(path)
            self._known[path] = size  # Where it fails it is not tried again at once.
            others = {table for each in marking if each is not source for table in each.tables}
            mark = source.mark()
            streams = None if mark is None else store.streams(mark.tables)
            if file and mark and streams and others.isdisjoint(mark.tables):
                jobs.append(partial(write_index, file, path, mark, streams, self._most))
        if jobs:
            self._writer = threading.Thread(target=_run, args=(jobs,), name="index", daemon=True)
            self._writer.start()

    def wait(self) -> None:
        """Wait until what is being written is written."""
        if self._writer is not None:
            self._writer.join()

    def close(self) -> None:
        """Let go of all files."""
        for index in self._open:
            index.close()
        self._open.clear()


def _run(jobs: Sequence[Callable[[], object]]) -> None:
    for job in jobs:
        with contextlib.suppress(OSError):  # It is not needed.
            job()


def _delete(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
