"""Logs on other machines and in object stores, through fsspec: copied here, a range at a time.

What traintop follows is the copy, a file like any other, in the user's cache folder. Only files
that may hold a run's records are copied, never checkpoints. fsspec is an extra: `traintop[remote]`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traintop.errors import PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 8 << 20
"""Bytes fetched at once."""

CHECKED = 64
"""Bytes before the end of the copy that are compared before it is added to."""

PERIOD = 5.0
"""Seconds between two looks; more after a failure, up to a minute."""

MAX_DEPTH = 3

_LOGS = re.compile(
    r".*(\.(jsonl|ndjson|json|csv|tsv|log|out|err|txt|wandb|yaml|toml)(\.(gz|bz2|xz|zst))?"
    r"|tfevents.*)",
    re.IGNORECASE,
)


def cache_folder() -> Path:
    """The user's folder for what can be made anew."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "traintop"


class Mirror:
    """A copy of the logs at a remote place.

    Args:
        url: A file, or a folder.
        cache: Where copies are kept; by default in the user's cache folder.

    Raises:
        PathError: There is nothing at that place, it cannot be reached, or a package is missing.
    """

    def __init__(self, url: str, cache: Path | None = None) -> None:
        self.url = url
        self.error: str | None = None
        """Why the place could not be read the last time."""
        self._place = url.rstrip("/")
        try:
            fsspec: Any = import_module("fsspec")
        except ImportError:
            raise PathError(
                f"{url}: remote paths need fsspec: pip install 'traintop[remote]'"
            ) from None
        try:
            self._files: Any
            self._root: str
            self._files, self._root = fsspec.core.url_to_fs(self._place)
            info: dict[str, Any] = self._files.info(self._root)
        except ImportError as error:
            raise PathError(f"{url}: {error}") from None
        except FileNotFoundError:
            raise PathError(f"{url}: no such file or folder") from None
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            raise PathError(f"{url}: cannot be reached: {_words(error)}") from None
        name = posixpath.basename(self._root) or "run"
        mark = hashlib.sha256(self._place.encode()).hexdigest()[:16]
        self._one_file = info["type"] == "file"
        self._folder = (cache or cache_folder()) / "remote" / mark
        self.local = self._folder / name
        """The copy: a file or a folder, as the original is."""
        self._seen: dict[str, object] = {}
        self._stop = threading.Event()

    def sync(self) -> bool:
        """Fetch what is new; return whether anything was.

        Raises:
            PathError: It cannot be read.
        """
        try:
            fetched = [self._fetch(path, info) for path, info in self._listed()]
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            self.error = f"cannot be read at the moment: {_words(error)}"
            raise PathError(f"{self.url}: {self.error}") from None
        self.error = None
        return any(fetched)

    def follow(self) -> None:
        """Keep fetching in a thread until `close`; a failure is kept in `error` and tried again."""
        threading.Thread(target=self._follow, name=f"fetch {self.url}", daemon=True).start()

    def close(self) -> None:
        """Stop fetching."""
        self._stop.set()

    def _follow(self) -> None:
        wait = PERIOD
        while not self._stop.wait(wait):
            try:
                self.sync()
                wait = PERIOD
            except PathError:
                wait = min(2 * wait, 60.0)

    def _listed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._files.invalidate_cache()
        if self._one_file:
            self._folder.mkdir(parents=True, exist_ok=True)
            yield self._root, self._files.info(self._root)
            return
        self.local.mkdir(parents=True, exist_ok=True)
        found: dict[str, dict[str, Any]] = self._files.find(
            self._root, maxdepth=MAX_DEPTH, detail=True
        )
        for path, info in sorted(found.items()):
            if _LOGS.fullmatch(posixpath.basename(path)):
                yield path, info

    def _fetch(self, path: str, info: dict[str, Any]) -> bool:
        """Bring one copy up to date; return whether there was something to do."""
        size, state = int(info["size"] or 0), _state(info)
        if self._seen.get(path) == state:
            return False
        copy = self._copy_of(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        have = copy.stat().st_size if copy.exists() else 0
        if have > size or not self._continues(path, copy, have):
            # Under another name until it is whole: whoever reads the copy sees one or the other.
            new = copy.with_name(f".{copy.name}.new")
            new.unlink(missing_ok=True)
            self._append(path, new, 0, size)
            new.replace(copy)
        else:
            self._append(path, copy, have, size)
        self._seen[path] = state
        return True

    def _copy_of(self, path: str) -> Path:
        if self._one_file:
            return self.local
        copy = self.local / posixpath.relpath(path, self._root)
        if ".." in copy.parts:
            raise ValueError(f"{path} lies outside of {self._root}")
        return copy

    def _continues(self, path: str, copy: Path, have: int) -> bool:
        """Whether the original still begins with what was copied, by its last bytes."""
        if not have:
            return True
        begin = max(have - CHECKED, 0)
        with copy.open("rb") as file:
            file.seek(begin)
            ours = file.read()
        theirs: bytes = self._files.cat_file(path, start=begin, end=have)
        return ours == theirs

    def _append(self, path: str, copy: Path, begin: int, end: int) -> None:
        with copy.open("ab") as file:
            while begin < end and not self._stop.is_set():
                data: bytes = self._files.cat_file(path, start=begin, end=min(begin + BLOCK, end))
                if not data:
                    break  # It has shrunk since it was listed: the next look tells.
                file.write(data)
                file.flush()
                begin += len(data)


def _state(info: dict[str, Any]) -> tuple[object, ...]:
    """What changes when a file does, under the names that file systems have for it."""
    keys = ("size", "mtime", "LastModified", "last_modified", "updated", "ETag", "etag", "md5Hash")
    return tuple(str(info.get(key)) for key in keys)


def _words(error: Exception) -> str:
    with contextlib.suppress(Exception):
        if text := str(error).strip():
            return text.splitlines()[0][:300]
    return type(error).__name__
