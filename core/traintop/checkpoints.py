"""The checkpoints of a run: those that it named in its events and those that lie in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from traintop.catalogue import Catalogue
from traintop.records import Checkpoint
from traintop.store import Run


class Found(Protocol):
    """A file that looks like a checkpoint."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def step(self) -> int | None:
        """The step that its name tells."""
        ...


def known_checkpoints(
    run: Run | None, catalogue: Catalogue, folder: Path | None, found: Sequence[Found]
) -> list[Checkpoint]:
    """Join what the events name with what lies there, each file once.

    Args:
        run: Whose events and losses count.
        catalogue: Says which series is the training loss.
        folder: Relative paths of events begin here.
        found: Files that were found.
    """
    steps: dict[Path, int | None] = {file.path.absolute(): file.step for file in found}
    for event in run.events if run is not None else []:
        named = event.fields.get("path")
        if event.event == "checkpoint" and isinstance(named, str):
            path = _existing(named, folder)
            if path is not None:
                steps[path] = event.step if event.step is not None else steps.get(path)
    checkpoints = [
        Checkpoint(path=path, step=step, loss=_loss(run, catalogue, step), size=_size(path))
        for path, step in steps.items()
    ]
    return sorted(checkpoints, key=lambda found: (found.step is None, found.step or 0))


def _existing(named: str, folder: Path | None) -> Path | None:
    """Return the file that an event names, if it is there: beside the run, above it, or here."""
    bases = (
        [Path.cwd()] if folder is None else [folder, folder.parent, folder.parent.parent, Path()]
    )
    for base in bases:
        path = (base / named).absolute()
        if path.exists():
            return path
    return None


def _loss(run: Run | None, catalogue: Catalogue, step: int | None) -> float | None:
    ref = catalogue.by_role(run, "loss/train") if run is not None else None
    if run is None or ref is None or step is None:
        return None
    at = run.tables[ref.table].value_at(ref.name, step)
    return None if at is None else at[1]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
