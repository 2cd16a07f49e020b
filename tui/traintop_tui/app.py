"""The app: screens, themes, the palette and the thread that follows the run; nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.style import Style
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.events import Event, InputEvent
from textual.screen import Screen

from traintop.analyses import ANALYSES
from traintop.errors import TraintopError
from traintop.records import Update
from traintop_tui.action import with_keymap
from traintop_tui.actions import ACTIONS, actions_for
from traintop_tui.analyses_model import NoTargetError
from traintop_tui.follow import Follower
from traintop_tui.messages import News, ReadingFailed
from traintop_tui.model import Model
from traintop_tui.screens.overview import OverviewScreen
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.theme import TraintopTheme, styles, textual_theme

if TYPE_CHECKING:
    from traintop_tui.alarms import Alarms
    from traintop_tui.replaying import Replaying
    from traintop_tui.screens.analysis_form import Answers


BACK_TO_RUNS = -1
"""What the app ends with where the user wants to see the list of runs."""
MASKED = 0.001
"""Seconds; Textual takes a timer of none for one that never ends."""


def _screen(module: str, name: str) -> Screen[Any]:
    """Make a screen when it is first shown: what it imports must not delay the first picture."""
    screen: type[Screen[Any]] = getattr(import_module(f"traintop_tui.screens.{module}"), name)
    return screen()


def _prepare_screens() -> None:
    """Import what the other screens need, so that the first key for one is answered at once."""
    for module in ("findings", "layers", "log", "analyses", "help"):
        import_module(f"traintop_tui.screens.{module}")


class TraintopApp(App[int]):
    """traintop on a terminal.

    Args:
        model: What is shown.
        themes: Colour themes by name.
        problems: What is to be said at the start, such as theme files that could not be used.
        follow: Whether to read the run in a thread; tests pump by hand instead.
    """

    TITLE = "traintop"
    CSS_PATH = Path(str(files("traintop_themes") / "traintop.tcss"))
    DEFAULT_MODE = "overview"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = ""
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "overview": OverviewScreen,
        "layers": lambda: _screen("layers", "LayersScreen"),
        "findings": lambda: _screen("findings", "FindingsScreen"),
        "log": lambda: _screen("log", "LogScreen"),
        "analyses": lambda: _screen("analyses", "AnalysesScreen"),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of("everywhere"),
        # Also while something is typed, where q is a letter.
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        model: Model,
        themes: Mapping[str, TraintopTheme],
        *,
        problems: Sequence[str] = (),
        follow: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.themes = dict(themes)
        self._problems = problems
        self.alarms: Alarms | None = None
        for theme in self.themes.values():
            self.register_theme(textual_theme(theme))
        # Now, and not on mount, where it would parse all style sheets a second time.
        self.theme = model.settings.theme
        self.chart_styles: dict[str, Style] = styles(self.themes[model.settings.theme])
        self.replaying: Replaying | None = None
        self._follower = (
            Follower(model.sessions, model.jobs, model.gpu, self._post_news, _prepare_screens)
            if follow
            else None
        )

    # --- life --------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Begin to follow the run."""
        self.set_class(self.model.view.ascii, "-ascii")
        self.theme_changed_signal.subscribe(self, lambda _: self._restyle())
        self.set_keymap(self.model.settings.keys)
        for problem in self._problems:
            self.notify(problem, severity="warning", markup=False)
        with contextlib.suppress(ValueError, NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        if self._follower is not None:
            # A daemon: nothing that it waits for may keep the terminal from the user.
            threading.Thread(target=self._follow, name="follow", daemon=True).start()

    async def on_event(self, event: Event) -> None:
        """Let what reads and judges make way for what a person does."""
        if isinstance(event, InputEvent) and self._follower is not None:
            self._follower.hold()
        await super().on_event(event)

    def on_unmount(self) -> None:
        """Stop reading and end the analyses; the training goes on."""
        if self._follower is not None:
            self._follower.stop()
        self.model.jobs.close()

    def _follow(self) -> None:
        try:
            if self._follower is not None:
                self._follower.run()
        except Exception as error:  # noqa: BLE001 - said on the screen, which stays
            self.post_message(ReadingFailed(error))

    def on_reading_failed(self, failed: ReadingFailed) -> None:
        """Say that nothing new will come; what was read stays on the screen."""
        self.notify(
            f"{type(failed.error).__name__}: {failed.error}. What was read stays; "
            "start traintop again to follow the run.",
            title="Reading has stopped",
            severity="error",
            markup=False,
            timeout=60,
        )

    def _post_news(self, updates: Sequence[Update]) -> None:
        self.post_message(News(updates))

    def on_news(self, news: News) -> None:
        """Redraw what is in sight."""
        self.model.take(news.updates)
        if self.alarms is not None:
            self.alarms.look(news.updates)
        if self.model.replay is None:
            self.leave_replay()  # The run is another one now.
        self.redraw()

    def redraw(self) -> None:
        """Redraw the screen that is shown; one that is still being made draws itself then."""
        for screen in self.screen_stack:
            if isinstance(screen, RunScreen) and screen.is_mounted:
                # One that is being taken down has lost parts of itself; a clock may still tick.
                with contextlib.suppress(NoMatches):
                    screen.redraw()

    def _restyle(self) -> None:
        self.set_class(self.model.view.ascii, "-ascii")
        theme = self.themes.get(self.theme)
        if theme is not None:
            self.chart_styles = styles(theme)
            for screen in self.screen_stack:
                if isinstance(screen, RunScreen):
                    screen.restyle()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer every action of the table that works here, and every theme."""
        places = ("replay", *screen.PLACES) if isinstance(screen, RunScreen) else ()
        places = places if self.model.replay is not None else places[1:]
        for action in actions_for("everywhere", *places):
            target = "app" if action.where == "everywhere" else "screen"
            name = f"{target}.{action.id}"
            yield SystemCommand(
                action.label, action.help, lambda name=name: self.call_later(self.run_action, name)
            )
        for name in self.themes:
            yield SystemCommand(
                f"Theme {name}", "Use this colour theme", lambda name=name: self._use_theme(name)
            )

    def delay_update(self, delay: float = MASKED) -> None:
        """Show another screen at once: it is there, and has nothing that a pause would mask."""
        super().delay_update(min(delay, MASKED))

    # --- actions -----------------------------------------------------------------------------

    def action_show_overview(self) -> None:
        self.switch_mode("overview")

    def action_show_layers(self) -> None:
        self.switch_mode("layers")

    def action_show_findings(self) -> None:
        self.switch_mode("findings")

    def action_show_log(self) -> None:
        self.switch_mode("log")

    def action_show_analyses(self) -> None:
        self.switch_mode("analyses")

    def action_show_runs(self) -> None:
        self.exit(BACK_TO_RUNS)

    def show_log_at(self, step: float | None) -> None:
        """Go to the log, to the line that speaks of a step."""
        from traintop_tui.screens.log import LogScreen

        self.switch_mode("log")
        if step is not None and isinstance(self.screen, LogScreen):
            self.call_after_refresh(self.screen.go_to_step, step)

    def action_help(self) -> None:
        from traintop_tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(with_keymap(ACTIONS, self.model.settings.keys)))

    def action_next_run(self) -> None:
        self._go_to_run(1)

    def action_previous_run(self) -> None:
        self._go_to_run(-1)

    def _go_to_run(self, by: int) -> None:
        self.leave_replay()
        self.model.go_to_run(by)
        self.redraw()

    def action_replay(self) -> None:
        from traintop_tui.replaying import Replaying

        if self.model.replay is not None:
            self.leave_replay()
            return
        if not self.model.start_replay(self._first_to_replay()):
            self.notify("There is no record to replay yet.")
            return
        self.replaying = Replaying(self, self.model, self.redraw)
        self.redraw()

    def _first_to_replay(self) -> float:
        """Return where a replay begins: the cursor, else where the first finding was seen."""
        cursor, seen = self.model.view.cursor, self.model.whole_findings()
        if cursor is not None:
            return cursor
        return min((each.detected_step for each in seen), default=self.model.extent[0])

    def leave_replay(self) -> None:
        """Go back to the present, if the run is replayed."""
        if self.replaying is not None:
            self.replaying.stop()
            self.replaying = None
            self.redraw()

    def action_next_theme(self) -> None:
        names = list(self.themes)
        self._use_theme(names[(names.index(self.theme) + 1) % len(names)])

    def _use_theme(self, name: str) -> None:
        self.theme = name
        self.notify(name, title="Theme", timeout=2)

    def action_toggle_ascii(self) -> None:
        self.model.view.ascii = not self.model.view.ascii
        self._restyle()

    def action_lr_find(self) -> None:
        self.start_analysis("lr_find")

    def action_dead_neurons(self) -> None:
        self.start_analysis("dead_neurons")

    def action_analyze(self) -> None:
        from traintop_tui.screens.analyses import AnalysesScreen

        self.switch_mode("analyses")
        if isinstance(self.screen, AnalysesScreen):
            self.call_after_refresh(self.screen.choose)

    def start_analysis(
        self, name: str, checkpoint: Path | None = None, *, without: bool = False
    ) -> None:
        """Start an analysis on a checkpoint; without one on the newest before the cursor.

        What is missing for it is asked for.
        """
        try:
            job = self.model.start_analysis(name, checkpoint, without=without)
        except NoTargetError:
            self.ask_analysis(name, checkpoint)
            return
        except TraintopError as error:
            title = f"Cannot start: {ANALYSES[name].title}"
            self.notify(str(error), title=title, severity="error", markup=False)
            return
        self.notify(
            f"on {job.checkpoint_name}; press 5 for its progress",
            title=f"{job.title} started",
            markup=False,
        )
        self.redraw()

    def ask_analysis(self, name: str, checkpoint: Path | None = None) -> None:
        """Ask what an analysis is to be started with, and start it."""
        from traintop_tui.screens.analysis_form import AnalysisForm

        model = self.model
        found = model.checkpoint_for(model.view.cursor)
        if checkpoint is None and found is not None:
            checkpoint = found.path
        form = AnalysisForm(
            name, model.checkpoints(), checkpoint, model.typed.options.get(name, {}), model.target
        )
        self.push_screen(form, lambda answers: self._answered(name, answers))

    def _answered(self, name: str, answers: Answers | None) -> None:
        if answers is None:
            return
        problem = self.model.remember(name, answers.target, answers.options)
        if problem is not None:
            self.notify(problem, severity="warning", markup=False)
        self.start_analysis(name, answers.checkpoint, without=answers.checkpoint is None)
