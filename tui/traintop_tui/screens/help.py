"""The list of all keys, from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from traintop_tui.actions import Action, key_signs
from traintop_tui.screens.dialog import Dialog

PLACES = {
    "everywhere": "Everywhere",
    "charts": "Charts (overview, layers, findings)",
    "overview": "1 Overview",
    "layers": "2 Layers",
    "findings": "3 Findings",
    "log": "4 Log",
    "analyses": "5 Analyses",
}


class HelpScreen(Dialog[None]):
    """Shows every action: keys, name and what it does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "close", "Close"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        """Write the table."""
        with VerticalScroll(classes="dialog help"):
            yield Static(Content(help_text(self._actions)))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def help_text(actions: Sequence[Action]) -> str:
    """Write the table of actions as text, place by place."""
    lines = ["Keys (Esc closes this)"]
    for place, title in PLACES.items():
        lines += ["", title]
        for action in actions:
            if action.where == place:
                lines.append(f"  {key_signs(action.keys):16} {action.label:18} {action.help}")
    return "\n".join(lines)
