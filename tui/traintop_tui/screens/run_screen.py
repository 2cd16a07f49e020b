"""The base of the screens that show a run: header, footer, redrawing, keys of the charts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import ClassVar, cast

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from traintop_tui.action import Where
from traintop_tui.actions import ACTIONS, actions_for
from traintop_tui.host import host_of
from traintop_tui.screens.replay_keys import ReplayKeys
from traintop_tui.widgets.action_footer import ActionFooter
from traintop_tui.widgets.canvas import Canvas
from traintop_tui.widgets.replay_bar import ReplayBar
from traintop_tui.widgets.run_header import RunHeader

CURSOR_COLUMNS = 100
"""The cursor moves by such a part of the window."""
FAST = 10
"""How many of these a fast move is."""


def bindings_of(*places: Where, also: Collection[str] = ()) -> list[BindingType]:
    """Return the bindings of some places; an earlier place has a key before a later one.

    The keys of a replay have others behind them, which they are while nothing is replayed.

    Args:
        places: Whose actions.
        also: Ids of single actions of other places.
    """
    taken: set[str] = set()
    bindings: list[BindingType] = []
    for place in places:
        mine = actions_for(place)
        for action in mine:
            keys = [key for key in action.keys.split(",") if key not in taken]
            if keys:
                bindings.append(
                    Binding(",".join(keys), action.id, action.label, id=action.id, show=False)
                )
        if place != "replay":
            taken |= {key for action in mine for key in action.keys.split(",")}
    others = (action for action in ACTIONS if action.id in also)
    return bindings + [
        Binding(action.keys, action.id, action.label, id=action.id, show=False) for action in others
    ]


class RunScreen(ReplayKeys):
    """A screen of the app; only the one that is shown is redrawn."""

    PLACES: ClassVar[tuple[Where, ...]] = ("charts",)
    """Whose actions it has, its own first."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Textual
        (0, "-narrow"),
        (110, "-middling"),
        (160, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Textual
        (0, "-short"),
        (36, "-tall"),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Both are matters inside of Textual: a release that has changed them is only slower.
        with suppress(ImportError):
            from traintop_tui.partial_update import PartialCompositor

            self._compositor = PartialCompositor()
        # A new screen is styled by the sheets as they are now. To parse them anew for it, twice,
        # is most of what the first key for a screen would wait for.
        app = cast("App[object]", self.app)
        self._css_update_count = getattr(app, "_css_update_count", 0)

    def compose(self) -> ComposeResult:
        """Put the body between header and footer."""
        yield RunHeader(id="header")
        yield ReplayBar(id="replay-bar")
        yield from self.body()
        yield ActionFooter(*self.PLACES, "everywhere")

    def body(self) -> Iterable[Widget]:
        """Return the widgets between header and footer."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw what has changed."""
        self.query_one("#replay-bar").display = self.model.replay is not None
        for canvas in self.query(Canvas):
            canvas.redraw()

    def restyle(self) -> None:
        """Draw everything again: theme or character set have changed."""
        for canvas in self.query(Canvas):
            canvas.restyle()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was shown."""
        self.redraw()

    # --- keys of the charts ------------------------------------------------------------------

    def _columns(self, count: int) -> float:
        first, last = self.model.window
        return count * (last - first) / CURSOR_COLUMNS

    def _move_cursor(self, columns: int) -> None:
        self.model.move_cursor(self._columns(columns))
        self.redraw()

    def action_cursor_left(self) -> None:
        self._move_cursor(-1)

    def action_cursor_right(self) -> None:
        self._move_cursor(1)

    def action_cursor_left_fast(self) -> None:
        self._move_cursor(-FAST)

    def action_cursor_right_fast(self) -> None:
        self._move_cursor(FAST)

    def action_cursor_off(self) -> None:
        self.model.view.cursor = None
        self.redraw()

    def action_zoom_in(self) -> None:
        self.model.view.zoom(self.model.extent, 0.5)
        self.redraw()

    def action_zoom_out(self) -> None:
        self.model.view.zoom(self.model.extent, 2.0)
        self.redraw()

    def action_zoom_reset(self) -> None:
        self.model.view.window, self.model.view.following = None, True
        self.redraw()

    def action_pan_left(self) -> None:
        self.model.view.pan(self.model.extent, -0.25)
        self.redraw()

    def action_pan_right(self) -> None:
        self.model.view.pan(self.model.extent, 0.25)
        self.redraw()

    def action_follow(self) -> None:
        host_of(self).leave_replay()
        self.model.view.follow(self.model.extent)
        self.redraw()

    def action_toggle_log_y(self) -> None:
        self.model.view.log_y = not self.model.view.log_y
        self.redraw()

    def action_cycle_axis(self) -> None:
        self.model.cycle_axis()
        self._say(f"X axis: {self.model.axis_kind}")
        self.redraw()

    def action_more_smoothing(self) -> None:
        self._smoother(1)

    def action_less_smoothing(self) -> None:
        self._smoother(-1)

    def _smoother(self, by: int) -> None:
        self.model.view.smoother(by)
        self._say(f"Smoothing: {self.model.view.smoothing or 'none'}")
        self.redraw()

    def _say(self, what: str) -> None:
        """Say what a key has set, in place of what was said before."""
        self.app.clear_notifications()
        self.notify(what, timeout=2)

    def action_next_finding(self) -> None:
        self._go_to_finding(1)

    def action_previous_finding(self) -> None:
        self._go_to_finding(-1)

    def _go_to_finding(self, by: int) -> None:
        finding = self.model.choose_next(by if self.model.view.cursor is not None else 0)
        if finding is None:
            self.notify("There is no finding in this run.")
            return
        self.model.put_cursor(finding.onset_step)
        self.notify(
            finding.title, title=f"since step {finding.onset_step}", markup=False, timeout=3
        )
        self.redraw()

    def action_next_nonfinite(self) -> None:
        step = self.model.next_nonfinite()
        if step is None:
            self.notify("No NaN or infinite value in the curves of this run.")
            return
        self.model.put_cursor(step)
        self.redraw()

    def action_log_at_cursor(self) -> None:
        host_of(self).show_log_at(self.model.view.cursor)
