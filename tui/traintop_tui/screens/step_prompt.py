"""A dialog that asks for a step of the run."""

from __future__ import annotations

import math
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label

from traintop_tui.screens.dialog import Dialog


class StepPrompt(Dialog[float | None]):
    """Returns a step; None that nothing changes.

    Args:
        first: The first step of the run.
        last: Its last.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", priority=True)]

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self._first, self._last = first, last

    def compose(self) -> ComposeResult:
        """Put the question above the line to type in."""
        with Vertical(classes="dialog"):
            yield Label(
                f"Go to which step of {self._first:.0f} to {self._last:.0f}? A share, too: 40%",
                markup=False,
            )
            yield Input(placeholder="step, or share of the run with %")

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        step = parse_step(event.value, self._first, self._last)
        if step is None:
            self.notify("That is neither a step nor a share such as 40%.", severity="warning")
            return
        self.dismiss(step)

    def action_cancel(self) -> None:
        self.dismiss(None)


def parse_step(text: str, first: float, last: float) -> float | None:
    """Return the step that was typed, within the run; None where it is none."""
    text = text.strip()
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    step = first + number / 100 * (last - first) if share else number
    return min(max(round(step), first), last)
