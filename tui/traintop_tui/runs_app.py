"""The app that lists runs: it ends with the run that was chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from traintop_tui.action import with_keymap
from traintop_tui.actions import ACTIONS
from traintop_tui.messages import ReadingFailed
from traintop_tui.runs_follow import RunsFollower
from traintop_tui.runs_model import RunsModel
from traintop_tui.screens.help import HelpScreen
from traintop_tui.screens.run_screen import bindings_of
from traintop_tui.screens.runs import RunsScreen
from traintop_tui.theme import TraintopTheme, styles, textual_theme

SHARED = ("help", "quit", "next_theme", "toggle_ascii")
"""Actions of the app on one run that are here, too."""


class RunsChanged(Message):
    """Something in the list is new. A newer one replaces it."""

    def can_replace(self, message: Message) -> bool:
        """Let a newer one of the kind stand for it."""
        return isinstance(message, RunsChanged)


class RunsApp(App[Path]):
    """The list of runs on a terminal.

    Args:
        model: What is shown; it outlives the app, so that who comes back finds what was read.
        themes: Colour themes by name.
        follow: Whether to read the runs in a thread.
    """

    TITLE = "traintop"
    CSS_PATH = Path(str(files("traintop_themes") / "traintop.tcss"))
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "runs"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {"runs": RunsScreen}
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of(also=SHARED),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self, model: RunsModel, themes: Mapping[str, TraintopTheme], *, follow: bool = True
    ) -> None:
        super().__init__()
        self.model = model
        self.themes = dict(themes)
        for theme in self.themes.values():
            self.register_theme(textual_theme(theme))
        self.theme = model.settings.theme
        self.chart_styles: dict[str, Style] = styles(self.themes[model.settings.theme])
        self._follower = RunsFollower(model, self._post) if follow else None

    def on_mount(self) -> None:
        """Begin to read."""
        self.set_class(self.model.view.ascii, "-ascii")
        self.theme_changed_signal.subscribe(self, lambda _: self._restyle())
        self.set_keymap(self.model.settings.keys)
        if self._follower is not None:
            threading.Thread(target=self._follow, name="runs", daemon=True).start()

    def on_unmount(self) -> None:
        """Stop reading."""
        if self._follower is not None:
            self._follower.stop()

    def _follow(self) -> None:
        try:
            if self._follower is not None:
                self._follower.run()
        except Exception as error:  # noqa: BLE001 - said on the screen, which stays
            self.post_message(ReadingFailed(error))

    def on_reading_failed(self, failed: ReadingFailed) -> None:
        """Say that the list is not filled any further."""
        self.notify(
            f"{type(failed.error).__name__}: {failed.error}. Runs can still be opened; "
            "start traintop again to read the others.",
            title="Reading has stopped",
            severity="error",
            markup=False,
            timeout=60,
        )

    def _post(self) -> None:
        self.post_message(RunsChanged())

    def on_runs_changed(self) -> None:
        """Redraw what has changed."""
        for screen in self.screen_stack:
            if isinstance(screen, RunsScreen) and screen.is_mounted:
                screen.redraw()

    def _restyle(self) -> None:
        self.set_class(self.model.view.ascii, "-ascii")
        self.chart_styles = styles(self.themes[self.theme])
        for screen in self.screen_stack:
            if isinstance(screen, RunsScreen):
                screen.restyle()

    def action_help(self) -> None:
        shared = (action for action in ACTIONS if action.id in SHARED)
        mine = (action for action in ACTIONS if action.where == "runs")
        self.push_screen(HelpScreen(with_keymap([*mine, *shared], self.model.settings.keys)))

    def action_next_theme(self) -> None:
        names = list(self.themes)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def action_toggle_ascii(self) -> None:
        self.model.view.ascii = not self.model.view.ascii
        self._restyle()
