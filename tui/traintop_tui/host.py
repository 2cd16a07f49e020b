"""What screens and widgets may ask of the app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from rich.style import Style
from textual.dom import DOMNode

from traintop_tui.model import Model

if TYPE_CHECKING:
    from traintop_tui.replaying import Replaying


class Host(Protocol):
    """The app, as far as what stands in it needs to know."""

    model: Model
    chart_styles: Mapping[str, Style]
    """How each style name of a chart looks in the present theme."""
    replaying: Replaying | None
    """The clock of the replay, while a run is replayed."""

    def redraw(self) -> None:
        """Redraw the screen that is shown."""
        ...

    def show_log_at(self, step: float | None) -> None:
        """Go to the log, to the line that speaks of a step."""
        ...

    def leave_replay(self) -> None:
        """Go back to the present, if the run is replayed."""
        ...

    def start_analysis(self, name: str, checkpoint: Path | None = None) -> None:
        """Start an analysis on a checkpoint; without one on the newest before the cursor."""
        ...

    def ask_analysis(self, name: str, checkpoint: Path | None = None) -> None:
        """Ask what an analysis is to be started with, and start it."""
        ...


def host_of(node: DOMNode) -> Host:
    """Return the app that a screen or widget stands in."""
    return cast("Host", node.app)
