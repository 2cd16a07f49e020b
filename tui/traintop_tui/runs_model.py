"""The list of runs below a folder: what is known of each, and what of it is in sight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from traintop.records import SEVERITIES
from traintop.run_summaries import RunEntry, RunSummary
from traintop.settings import Settings
from traintop_tui.view import View

Order = Literal["newest", "name", "worst", "loss"]
ORDERS: tuple[Order, ...] = ("newest", "name", "worst", "loss")


class RunsModel:
    """Filled by a thread, looked at by the screen: each change replaces what it changes whole.

    Args:
        folder: Where the runs are.
        settings: Those of the user.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.view = View(ascii=settings.ascii)
        self.entries: Sequence[RunEntry] = ()
        """The runs, the one written to last first."""
        self.looked = False
        """Whether the folder was looked through."""
        self.summaries: dict[Path, RunSummary] = {}
        self.order: Order = "newest"
        self.filter = ""
        self.selected: Path | None = None
        self.in_sight: Sequence[Path] = ()
        """The runs that are on the screen: read before the others."""

    def name(self, path: Path) -> str:
        """What a run is called in the list: its path below the folder."""
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)

    def shown(self) -> list[RunEntry]:
        """Return the runs that match the filter, in the present order."""
        words = self.filter.lower().split()
        found = [
            entry
            for entry in self.entries
            if all(word in self._text(entry.path).lower() for word in words)
        ]
        match self.order:
            case "name":
                found.sort(key=lambda entry: self.name(entry.path))
            case "worst":
                found.sort(key=lambda entry: self._badness(entry.path))
            case "loss":
                found.sort(key=lambda entry: self._loss(entry.path))
            case "newest":
                pass
        return found

    def index(self, shown: Sequence[RunEntry]) -> int:
        """Return which of the runs shown is selected."""
        paths = [entry.path for entry in shown]
        return paths.index(self.selected) if self.selected in paths else 0

    def move(self, by: int) -> None:
        """Select another run."""
        shown = self.shown()
        if shown:
            at = min(max(self.index(shown) + by, 0), len(shown) - 1)
            self.selected = shown[at].path

    def chosen(self) -> Path | None:
        """Return the run that is selected; None where there is none."""
        shown = self.shown()
        return shown[self.index(shown)].path if shown else None

    def cycle_order(self) -> None:
        """Go to the next order."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def take_entries(self, entries: Sequence[RunEntry]) -> None:
        """Take what was found in the folder."""
        self.entries = entries
        self.looked = True

    def take_summary(self, summary: RunSummary) -> None:
        """Take what was read of a run."""
        self.summaries[summary.path] = summary

    def _text(self, path: Path) -> str:
        """What a filter looks into."""
        known = self.summaries.get(path)
        more = "" if known is None else f"{known.state} {known.worst or ''} {known.finding or ''}"
        return f"{self.name(path)} {more}"

    def _badness(self, path: Path) -> int:
        known = self.summaries.get(path)
        if known is None:
            return 1
        if known.error is not None:
            return -len(SEVERITIES)
        return 0 if known.worst is None else -1 - SEVERITIES.index(known.worst)

    def _loss(self, path: Path) -> tuple[bool, float]:
        known = self.summaries.get(path)
        loss = None if known is None else known.loss
        return (True, 0.0) if loss is None or not math.isfinite(loss) else (False, loss)
