"""The line at the bottom: the keys that matter here, each of them a button."""

from __future__ import annotations

from textual import events

from traintop_tui.actions import Action, Where, actions_for, key_signs
from traintop_tui.charts.cells import Rows, cell_width, fit_runs
from traintop_tui.widgets.canvas import Canvas


class ActionFooter(Canvas):
    """Shows the footer actions of a screen.

    Args:
        places: Whose actions to show, the screen's own first.
    """

    def __init__(self, *places: Where) -> None:
        super().__init__(id="footer")
        self._actions = [a for place in places for a in actions_for(place) if a.footer]

    def build(self, width: int, height: int) -> Rows:
        """Draw the screens by number, then the actions as far as there is room."""
        runs: list[tuple[str, str]] = []
        for action in self._shown(width):
            runs += [(f" {_sign(action)} ", "footer.key"), (f"{action.label} ", "footer")]
        return (fit_runs(runs, width, filler="footer"),)

    def on_click(self, event: events.Click) -> None:
        """Do what is under the mouse."""
        x = 0
        for action in self._shown(self.size.width):
            x += _width(action)
            if event.x < x:
                self.screen.call_later(self.screen.run_action, _name(action))
                return

    def _shown(self, width: int) -> list[Action]:
        shown: list[Action] = []
        screens = [a for a in actions_for("everywhere") if a.id.startswith("show_")]
        for action in [*screens, *self._actions]:
            width -= _width(action)
            if width >= 0:
                shown.append(action)
        return shown


def _name(action: Action) -> str:
    return action.id if action.where != "everywhere" else f"app.{action.id}"


def _sign(action: Action) -> str:
    return key_signs(action.keys).split(" ")[0]


def _width(action: Action) -> int:
    return cell_width(_sign(action)) + 2 + cell_width(action.label) + 1
