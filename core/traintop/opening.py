"""From what a command line or a script names to sessions: paths of this machine and remote ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traintop.errors import PathError
from traintop.session import Session
from traintop.settings import Settings
from traintop.sources.newest import newest_run
from traintop.sources.remote_path import is_remote

if TYPE_CHECKING:
    from traintop.sources.mirror import Mirror


def open_run(path: str | Path, settings: Settings | None = None) -> Session:
    """Read a run as it is now, with all verdicts; call `pump` on the result to follow it.

    Raises:
        PathError: The path does not exist, cannot be read, or holds no run.
    """
    return read_whole(path, settings or Settings())


def read_whole(
    path: str | Path, settings: Settings, *, until: int | None = None, judge: bool = True
) -> Session:
    """Read and judge all that is there.

    Raises:
        PathError: The path does not exist, cannot be read, or holds no run.
        SettingsError: A threshold that no detector has.
    """
    path, mirror = _local(str(path))
    session = Session(path, settings, until=until, judge=judge, mirror=mirror)
    session.indexes.writing = False  # What is read in passing may be thousands of runs.
    if session.missing is not None:
        raise PathError(session.missing)  # Nothing is waited for here.
    while True:
        more_may_come = session.held_open
        if session.pump(time.time()).more:
            continue
        if not more_may_come:
            break
        time.sleep(0.05)
    session.finish()
    return session


def open_paths(paths: Sequence[str], settings: Settings) -> list[Session]:
    """Open what the command line names; without a path the newest run below this directory.

    Raises:
        PathError: A path does not exist, cannot be read, or is a file that holds no run.
    """
    if not paths:
        here = Path.cwd()
        return [Session(newest_run(here) or here, settings, aside=True)]
    sessions: list[Session] = []
    for path in paths:
        local, mirror = _local(path)
        if mirror is not None:
            mirror.follow()
        sessions.append(Session(local, settings, mirror=mirror, aside=True))
    return sessions


def _local(path: str) -> tuple[Path, Mirror | None]:
    """The path to read, which for a remote place is that of a copy that is up to date now."""
    if not is_remote(path):
        return Path(path), None
    from traintop.sources.mirror import Mirror

    mirror = Mirror(path)
    mirror.sync()
    return mirror.local, mirror
