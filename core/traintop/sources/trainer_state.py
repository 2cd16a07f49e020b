"""The history that the Hugging Face Trainer saves, whole, with each checkpoint.

Every `checkpoint-N/trainer_state.json` begins with what the ones before it say, and the one beside
the checkpoints, written at the end, says all of it. So only the newest is read, and when a newer
one comes, that takes its place.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.checkpoints import is_checkpoint_folder
from traintop.sources.tail import HEAD, Chunk, FileTail

if TYPE_CHECKING:
    from pathlib import Path

NAME = "trainer_state.json"

_STEP = re.compile(rb'"global_step":\s*(\d{1,12})')


class State(NamedTuple):
    """One of these files; the larger, the newer."""

    step: int
    last: bool
    """Whether it lies beside the checkpoints."""
    modified: int
    path: Path


def output_folder(path: Path) -> Path:
    """The output folder of the training that a file is of."""
    return path.parent.parent if is_checkpoint_folder(path.parent.name) else path.parent


def states(folder: Path) -> list[State]:
    """The histories in an output folder and its checkpoints, the newest last."""
    found: list[State] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        below = sorted(entry.name for entry in entries if is_checkpoint_folder(entry.name))
        for path in (folder / NAME, *(folder / name / NAME for name in below)):
            with contextlib.suppress(OSError), path.open("rb") as file:
                step = _STEP.search(file.read(HEAD))
                last = path.parent == folder
                modified = os.fstat(file.fileno()).st_mtime_ns
                found.append(State(int(step[1]) if step else -1, last, modified, path))
    return sorted(found)


class NewestState(FileTail):
    """The bytes of such a file, until a newer one comes: then of that.

    Args:
        path: The file to begin with.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._output = output_folder(path)
        self._listed = -1
        self._newest = max(states(self._output), default=None)

    def read(self, max_bytes: int) -> Chunk:
        """Take new bytes; `reset` is set where they are of another file than those before."""
        self._move()
        return super().read(max_bytes)

    def _move(self) -> None:
        """Go on to a file that is newer than any that was there."""
        try:
            changed = self._output.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._listed:
            return
        found = states(self._output)
        # The folder of a checkpoint comes before the file in it.
        if len(found) >= _checkpoints(self._output):
            self._listed = changed
        if found and (self._newest is None or found[-1] > self._newest):
            self._newest = found[-1]
            self.close()
            self.path = self._newest.path


def _checkpoints(folder: Path) -> int:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sum(is_checkpoint_folder(entry.name) for entry in entries)
    return 0
