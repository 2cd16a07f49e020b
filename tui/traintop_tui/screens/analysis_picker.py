"""A dialog that lists the analyses."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from traintop.analyses import ANALYSES
from traintop_tui.screens.dialog import Dialog


class AnalysisPicker(Dialog[str | None]):
    """Returns the id of the chosen analysis.

    Args:
        checkpoint: What it would run on, in words.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "Cancel")]

    def __init__(self, checkpoint: str) -> None:
        super().__init__()
        self._checkpoint = checkpoint

    def compose(self) -> ComposeResult:
        """List them."""
        with Vertical(classes="dialog"):
            yield Label(Content(f"Run on {self._checkpoint} (move the cursor for an earlier one)"))
            yield OptionList(
                *(
                    Option(Content(f"{analysis.title}: {analysis.description}"), id=analysis.id)
                    for analysis in ANALYSES.values()
                )
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the chosen one."""
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        self.dismiss(None)
