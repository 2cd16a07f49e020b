"""The line at the bottom: the keys that matter here, each of them a button."""

from __future__ import annotations

from collections.abc import Iterator

from textual import events

from traintop_tui.action import Action, Where, with_keymap
from traintop_tui.actions import ACTIONS, actions_for
from traintop_tui.charts.cells import Rows, cell_width, fit_runs
from traintop_tui.key_signs import key_signs
from traintop_tui.widgets.canvas import Canvas

ROOMY = 100
"""Cells: a narrower footer has short labels, close together."""
ALWAYS = ("help", "quit")
"""Right after the screens, on the narrowest terminal too: the way to all other keys, and out."""


SCREENS = ("show_overview", "show_layers", "show_findings", "show_log", "show_analyses")


class ActionFooter(Canvas):
    """Shows the footer actions of a screen.

    Args:
        places: Whose actions to show, the screen's own first.
    """

    def __init__(self, *places: Where) -> None:
        super().__init__(id="footer")
        self._current = f"show_{places[0]}"
        self._always = [action for action in ACTIONS if action.id in ALWAYS]
        everywhere = actions_for("everywhere") if "everywhere" in places else []
        self._screens = [action for action in everywhere if action.id in SCREENS]
        own, *others = places
        self._rest = [
            action
            for action in (*actions_for(own), *everywhere, *actions_for(*others))
            if action.footer and action not in self._always
        ]

    def build(self, width: int, height: int) -> Rows:
        """Draw the screens by number, help and quit, then the actions as far as there is room."""
        runs: list[tuple[str, str]] = []
        for action, sign, label in self._shown(width):
            here = action.id == self._current
            runs += [
                (sign, "selected" if here else "footer.key"),
                (label, "selected" if here else "footer"),
            ]
        return (fit_runs(runs, width, filler="footer"),)

    def on_click(self, event: events.Click) -> None:
        """Do what is under the mouse."""
        x = 0
        for action, sign, label in self._shown(self.size.width):
            x += cell_width(sign) + cell_width(label)
            if event.x < x:
                self.screen.call_later(self.screen.run_action, _name(action))
                return

    def _shown(self, width: int) -> Iterator[tuple[Action, str, str]]:
        """Return what there is room for, as it is written."""
        actions = dict.fromkeys([*self._screens, *self._always, *self._rest])
        texts = [
            (action, *_text(action, width))
            for action in with_keymap(actions, self.model.settings.keys)
        ]
        # First what must not be missing, then the rest in order.
        shown: set[str] = set()
        for action, sign, label in sorted(texts, key=lambda text: text[0].id not in ALWAYS):
            needed = cell_width(sign) + cell_width(label)
            if needed <= width:
                shown.add(action.id)
                width -= needed
        return (text for text in texts if text[0].id in shown)


def _name(action: Action) -> str:
    return action.id if action.where != "everywhere" else f"app.{action.id}"


def _text(action: Action, width: int) -> tuple[str, str]:
    """Return the sign of an action's key and its label, with the blanks around them."""
    sign = key_signs(action.keys).split(" ")[0]
    if width >= ROOMY:
        return f" {sign} ", f"{action.label} "
    return f"{sign} ", f"{action.short or action.label} "
