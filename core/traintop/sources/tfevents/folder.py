"""The event files of one folder, read as one: a writer begins a new file at each start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from traintop.records import Item, News, Reread, Reset, Skipped, SourceReport
from traintop.sources import preview
from traintop.sources.backwards import HEAD_SIZE
from traintop.sources.decoder import SKIPS_KEPT
from traintop.sources.scalars import Placer
from traintop.sources.source import SHORT
from traintop.sources.stores import EVENTS
from traintop.sources.tail import FileTail
from traintop.sources.tfevents.decoder import EventFile

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FILES = 1000

_STARTED = re.compile(rf"{EVENTS}\.(\d+)")


class _Followed(NamedTuple):
    """One file of the folder."""

    tail: FileTail
    decoder: EventFile


class EventFolder:
    """Follows the event files of a folder: the oldest first, each to its end.

    What a later file repeats replaces what the earlier ones had: its steps fall, as those of any
    run that was resumed. Files that are written side by side by several writers are all followed.

    Args:
        folder: Where the files are. Those that come later are found.
        table: The table of their rows.
        preview: Whether the newest part of a long file is handed over before all others.
    """

    held_open = False
    awaited = None

    def __init__(self, folder: Path, table: str, *, preview: bool = False) -> None:
        self._folder = folder
        self._placer = Placer(table)
        self._files: dict[Path, _Followed] = {}
        self._modified = -1
        self._error: str | None = None
        self._preview = preview
        self._begin_anew = False
        self._table = table
        self._list()

    @property
    def path(self) -> Path:
        """The newest file, which is the one that grows."""
        return next(reversed(self._files), self._folder / EVENTS)

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        return self._begin_anew or any(file.tail.pending for file in self._files.values())

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return any(file.tail.polled for file in self._files.values())

    def read(self, max_bytes: int) -> list[News]:
        """Read at most `max_bytes` that are new, of the oldest file that has any."""
        if self._begin_anew:
            self._begin_anew = False
            return [Reread(path=self._folder, why="its files are read from the oldest on")]
        self._list()
        if self._preview:
            self._preview = False
            if found := self._newest():
                self._begin_anew = True
                return found
        items: list[News] = []
        for path, file in self._files.items():
            if max_bytes <= 0:
                break
            before = file.tail.bytes_read
            chunk = file.tail.read(max_bytes)
            if chunk.reset:
                return [Reset(path=path, tables=self._placer.tables)]
            if chunk.data:
                items += file.decoder.feed(chunk.data)
                max_bytes -= file.tail.bytes_read - before
            if file.tail.pending:
                break
            # What waits for the rest of a record comes before what the next file says.
            items += file.decoder.release()
        return items

    def finish(self) -> list[Item]:
        """Hand over what was held back."""
        return [item for file in self._files.values() for item in file.decoder.finish()]

    def report(self) -> SourceReport:
        """What the files turned out to be, as far as they were read."""
        followed = self._files.items()
        tallies = [file.decoder.tally for _, file in followed]
        ignored: dict[str, int] = {}
        for tally in tallies:
            for key, count in tally.ignored.items():
                ignored[key] = ignored.get(key, 0) + count
        return SourceReport(
            path=self.path,
            format=EventFile.format,
            why=tallies[0].why if tallies else "",
            records=sum(tally.records for tally in tallies),
            bytes_read=sum(file.tail.bytes_read for _, file in followed),
            bytes_total=sum(file.tail.bytes_total for _, file in followed),
            skipped=tuple(self._skipped()[:SKIPS_KEPT]),
            skipped_total=sum(tally.skipped_total for tally in tallies),
            ignored=ignored,
            error=self._error
            or next((file.tail.error for _, file in followed if file.tail.error), None),
        )

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.tail.close()

    def _newest(self) -> list[News]:
        """The newest part of the newest file that holds anything, if there is much to read."""
        tails = [file.tail for file in self._files.values() if file.tail.bytes_total]
        if sum(tail.bytes_total for tail in tails) < SHORT:
            return []
        try:
            ends = preview.Ends(*tails[-1].ends(HEAD_SIZE, preview.NEWEST, preview.GRAIN))
        except OSError:
            return []  # The next read says why.
        return preview.read_newest(ends, lambda _: EventFile(Placer(self._table)))

    def _skipped(self) -> Sequence[Skipped]:
        """What could not be read; of several files each says in which."""
        if len(self._files) == 1:
            return next(iter(self._files.values())).decoder.tally.skipped
        return [
            Skipped(line=skip.line, why=f"{path.name}, {skip.why}")
            for path, file in self._files.items()
            for skip in file.decoder.tally.skipped
        ]

    def _list(self) -> None:
        """Look for files that have come, if the folder has changed."""
        try:
            modified = self._folder.stat().st_mtime_ns
            if modified == self._modified:
                return
            found = [path for path in self._folder.iterdir() if EVENTS in path.name]
        except OSError as error:
            self._error = error.strerror or str(error)
            return
        self._modified, self._error = modified, None
        for path in sorted(found, key=_age)[:MAX_FILES]:
            if path not in self._files and path.is_file():
                self._files[path] = _Followed(FileTail(path), EventFile(self._placer))


def _age(path: Path) -> tuple[int, str]:
    """Sorts the files by when they were begun, which their names tell in seconds since 1970."""
    started = _STARTED.search(path.name)
    return int(started[1]) if started else 0, path.name
