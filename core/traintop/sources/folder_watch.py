"""The folders of a run, listed again only where they have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.checkpoints import is_checkpoint
from traintop.sources.file_names import is_passing, may_be_of_run, rank

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 5000
"""Files and folders of a run that are looked at."""
MAX_LISTED = 200_000
"""Entries of all folders, whatever they are, after which no further folder is listed: 0.2 s."""
SETTLED_NS = 2_000_000_000
"""Files that come within one tick of the file system's clock leave no trace in a folder's time of
modification, so a folder that has just changed is listed again; the clocks of some tick in 2 s."""

_NEVER, _AGAIN = -1, -2


class _Folder(NamedTuple):
    depth: int
    """Below the top."""
    modified: int
    """Nanoseconds since 1970, or `_NEVER` listed, or to be listed `_AGAIN`."""
    lasting: bool
    """Whether it is asked for again and again after it has vanished."""


class FolderWatch:
    """Lists folders; what can be of no run, such as pictures and hidden files, is left out."""

    def __init__(self) -> None:
        self.left_out: dict[Path, str] = {}
        """Folders that are not read, or not wholly, and why."""
        self._folders: dict[Path, _Folder] = {}
        self._entries = 0
        self._listed = 0

    def __iter__(self) -> Iterator[Path]:
        """The folders that are watched."""
        return iter(list(self._folders))

    def add(self, folder: Path, depth: int, *, lasting: bool = False) -> None:
        """Watch a folder.

        Args:
            folder: The folder.
            depth: Below the top.
            lasting: Whether to look for it for ever; else its parent tells should it come back.
        """
        self._folders.setdefault(folder, _Folder(depth, _NEVER, lasting))

    def depth(self, folder: Path) -> int | None:
        """How deep a folder lies that is watched."""
        known = self._folders.get(folder)
        return None if known is None else known.depth

    def changed(self, folder: Path) -> list[os.DirEntry[str]] | None:
        """What is in a folder, our own files first; None if it has not changed.

        A folder that has vanished is empty.
        """
        known = self._folders[folder]
        first = known.modified == _NEVER
        try:
            modified = folder.stat().st_mtime_ns
            if modified == known.modified:
                return None
            if first and self._listed >= MAX_LISTED:
                self.left_out[folder] = f"more than {MAX_LISTED} entries in the folders before it"
                del self._folders[folder]
                return None
            with os.scandir(folder) as entries:
                everything = list(entries)
        except FileNotFoundError:
            if not known.lasting:
                del self._folders[folder]
            return []
        except OSError as error:
            self.left_out[folder] = error.strerror or str(error)
            return None
        settled = time.time_ns() - modified > SETTLED_NS
        self._folders[folder] = known._replace(modified=modified if settled else _AGAIN)
        self.left_out.pop(folder, None)
        listed = sorted(filter(_matters, everything), key=lambda one: (rank(one.name), one.name))
        room = max(MAX_ENTRIES - (self._entries if first else 0), 0)
        if len(listed) > room:
            self.left_out[folder] = f"more than {MAX_ENTRIES} files and folders"
            del listed[room:]
        if first:
            self._entries += len(listed)
            self._listed += len(everything)
        return listed


def _matters(entry: os.DirEntry[str]) -> bool:
    if is_passing(entry.name):
        return False
    try:
        return entry.is_dir() or may_be_of_run(entry.name) or is_checkpoint(entry)
    except OSError:  # a link that leads to itself
        return False
