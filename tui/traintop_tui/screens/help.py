"""The list of all keys, from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from traintop_tui.action import Action
from traintop_tui.key_signs import key_signs
from traintop_tui.screens.dialog import Dialog
from traintop_tui.wrapping import wrap

LEAST_HELP = 24
"""Cells: with less room for it, what an action does stands under its name."""
PLACES = {
    "everywhere": "Everywhere",
    "replay": "While a run is replayed (T)",
    "charts": "Charts (overview, layers, findings)",
    "overview": "1 Overview",
    "layers": "2 Layers",
    "findings": "3 Findings",
    "log": "4 Log",
    "analyses": "5 Analyses",
    "runs": "Runs (Backspace, or traintop FOLDER)",
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
        """Make the place of the table."""
        with VerticalScroll(classes="dialog help"):
            yield HelpTable(self._actions)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


class HelpTable(Static):
    """The table, broken into lines of its own width."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__()
        self._actions = actions

    def on_resize(self) -> None:
        """Write it again at the new width."""
        self.update(Content(help_text(self._actions, self.size.width)))


def help_text(actions: Sequence[Action], width: int = 1000) -> str:
    """Write the table of actions as text, place by place, in lines of at most `width` cells."""
    keys = max(len(key_signs(action.keys)) for action in actions) + 2
    names = max(len(action.label) for action in actions) + 2
    roomy = width >= keys + names + LEAST_HELP
    lines = ["Keys    Esc closes this, j and k scroll it"]
    for place, title in PLACES.items():
        mine = [action for action in actions if action.where == place]
        lines += ["", title] if mine else []
        for action in mine:
            head = f"  {key_signs(action.keys):{keys}}{action.label:{names}}"
            if not roomy:
                lines.append(head.rstrip())
                head = " " * (keys + 2)
            for part in wrap(action.help, max(width - len(head), 10)):
                lines.append(head + part)
                head = " " * len(head)
    return "\n".join(lines)
