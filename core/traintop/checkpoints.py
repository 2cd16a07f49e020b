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


class Checkpoints:
    """Joins what the events name with what lies there. Asks the disk only where there may be news.

    Every picture asks for the checkpoints, and a network file system may take its time to answer.
    """

    def __init__(self) -> None:
        self._known: tuple[object, list[Checkpoint]] | None = None

    def known(
        self,
        run: Run | None,
        catalogue: Catalogue,
        folder: Path | None,
        found: Sequence[Found],
        *,
        settled: bool,
    ) -> list[Checkpoint]:
        """Return each checkpoint once, by step.

        Args:
            run: Whose events and losses count.
            catalogue: Says which series is the training loss.
            folder: Relative paths of events begin here.
            found: Files that were found.
            settled: Whether all that is there was read: losses are known then.
        """
        seen = run, len(run.events) if run is not None else 0, folder, tuple(found)
        if self._known is not None and self._known[0] == seen:
            return self._known[1]
        checkpoints = _join(run, catalogue, folder, found)
        last = (run.last_step if run is not None else None) or 0
        if settled and all((each.step or 0) <= last for each in checkpoints):
            self._known = seen, checkpoints
        return checkpoints


def _join(
    run: Run | None, catalogue: Catalogue, folder: Path | None, found: Sequence[Found]
) -> list[Checkpoint]:
    steps: dict[Path, int | None] = {file.path.absolute(): file.step for file in found}
    for event in list(run.events) if run is not None else []:
        named = event.fields.get("path")
        if event.event == "checkpoint" and isinstance(named, str) and named:
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
    if "\0" in named:
        return None
    bases = (
        [Path.cwd()] if folder is None else [folder, folder.parent, folder.parent.parent, Path()]
    )
    for base in bases:
        path = (base / named).absolute()
        try:
            if path.exists():
                return path
        except OSError:
            continue  # A name too long, a folder that may not be entered.
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
