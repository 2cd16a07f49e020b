"""What the widgets of the list of runs may ask of their app."""

from __future__ import annotations

from typing import Protocol, cast

from textual.dom import DOMNode

from traintop_tui.runs_model import RunsModel


class RunsHost(Protocol):
    """The app, as far as they need to know it."""

    model: RunsModel


def runs_of(node: DOMNode) -> RunsModel:
    """Return the list of runs that a widget shows."""
    return cast("RunsHost", node.app).model
