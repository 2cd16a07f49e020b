"""A dialog that lists the analyses: what each does, whether it can run now, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from traintop.analyses import ANALYSES, Analysis
from traintop_tui.charts.cells import fit
from traintop_tui.screens.dialog import Dialog

_TITLE_WIDTH = 22


class Choice(NamedTuple):
    """An analysis that was chosen."""

    name: str
    ask: bool
    """Whether its options are to be asked for first."""


class AnalysisPicker(Dialog[Choice | None]):
    """Returns the chosen analysis.

    Args:
        checkpoint: What it would run on, in words.
        why_not: By analysis that cannot run now: the reason.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,A", "cancel", "Cancel"),
        Binding("o", "ask", "Options"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, checkpoint: str, why_not: Mapping[str, str]) -> None:
        super().__init__()
        self._checkpoint = checkpoint
        self._why_not = why_not
        self._box = OptionList(*map(self._option, ANALYSES.values()), id="analyses")
        self._about = Label(id="about", markup=False)

    def compose(self) -> ComposeResult:
        """List them, with the one under the bar in full below."""
        with Vertical(classes="dialog"):
            yield Label(Content(f"Run on {self._checkpoint} (move the cursor for an earlier one)"))
            yield self._box
            yield self._about
            yield Label("Enter starts it; o asks for its options first; Esc leaves", classes="hint")

    def _option(self, analysis: Analysis) -> Option:
        why_not = self._why_not.get(analysis.id)
        word = "  " if why_not is None else "no"
        line = f"{analysis.key or ' '} {word} {fit(analysis.title, _TITLE_WIDTH, ascii_only=True)} "
        return Option(Content(line + (why_not or analysis.description)), id=analysis.id)

    @on(OptionList.OptionHighlighted)
    def _tell(self, event: OptionList.OptionHighlighted) -> None:
        analysis = ANALYSES[event.option.id or ""]
        why_not = self._why_not.get(analysis.id)
        self._about.update(
            f"{analysis.description}." if why_not is None else f"Not now: {why_not}."
        )

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(Choice(event.option.id or "", ask=False))

    def action_ask(self) -> None:
        """Take the one under the bar, with its options."""
        option = self._box.highlighted_option
        if option is not None:
            self.dismiss(Choice(option.id or "", ask=True))

    def action_down(self) -> None:
        self._box.action_cursor_down()

    def action_up(self) -> None:
        self._box.action_cursor_up()

    def action_cancel(self) -> None:
        self.dismiss(None)
