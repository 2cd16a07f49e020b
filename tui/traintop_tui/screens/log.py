"""Screen 4: the text log, searched and filtered, linked with the charts by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import Input

from traintop_tui.action import Where
from traintop_tui.screens.run_screen import RunScreen, bindings_of
from traintop_tui.widgets.log_view import LogView


class LogScreen(RunScreen):
    """The log and a line to type a search or a filter in."""

    PLACES: ClassVar[tuple[Where, ...]] = ("log",)
    BINDINGS = bindings_of("replay", *PLACES)
    AUTO_FOCUS = "LogView"

    _typed: Callable[[str], None] | None = None

    def body(self) -> Iterable[Widget]:
        """The log, and the prompt under it while something is typed."""
        yield LogView(id="log")
        prompt = Input(id="log-prompt")
        prompt.display = False
        yield prompt

    @property
    def view(self) -> LogView:
        """The widget with the lines."""
        return self.query_one(LogView)

    def go_to_step(self, step: float) -> None:
        """Select the line that speaks of a step."""
        self.view.go_to_step(step)

    def _ask(self, what: str, then: Callable[[str], None]) -> None:
        prompt = self.query_one("#log-prompt", Input)
        self._typed = then
        prompt.placeholder = what
        prompt.value = ""
        prompt.display = True
        prompt.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        then, self._typed = self._typed, None
        event.input.display = False
        self.view.focus()
        if then is not None:
            then(event.value)

    def key_escape(self) -> None:
        """Leave the prompt, or end search and filter."""
        prompt = self.query_one("#log-prompt", Input)
        if prompt.display:
            prompt.display = False
            self.view.focus()
            return
        self.view.set_search("")
        self.view.set_filter("")

    def _search(self, text: str) -> None:
        self.view.set_search(text)
        if text and not self.view.next_match(-1 if self.view.following else 1):
            self.notify(f"No line matches {text!r}.", markup=False)
        self.view.redraw()

    def action_log_search(self) -> None:
        self._ask("search: text or regular expression", self._search)

    def action_log_filter(self) -> None:
        self._ask(
            "show only lines with: text or regular expression; empty shows all",
            self.view.set_filter,
        )

    def action_log_next_match(self) -> None:
        self._match(1)

    def action_log_previous_match(self) -> None:
        self._match(-1)

    def _match(self, by: int) -> None:
        """Go to the next match, or without a search to the line where the next finding began."""
        if self.view.search is None:
            self._go_to_finding(by)
            if self.model.view.cursor is not None:
                self.go_to_step(self.model.view.cursor)
        elif not self.view.next_match(by):
            self.notify("No line matches.")

    def action_log_down(self) -> None:
        self.view.move(1)

    def action_log_up(self) -> None:
        self.view.move(-1)

    def action_log_page_down(self) -> None:
        self.view.move(max(self.view.size.height - 2, 1))

    def action_log_page_up(self) -> None:
        self.view.move(-max(self.view.size.height - 2, 1))

    def action_log_top(self) -> None:
        self.view.move(-len(self.view.lens.items))

    def action_log_bottom(self) -> None:
        self.view.go_to_end()

    def action_log_errors(self) -> None:
        self.view.toggle_errors()

    def action_toggle_fold(self) -> None:
        self.view.toggle_fold()

    def action_cursor_to_line(self) -> None:
        item = self.view.selected()
        step = self.view.lens.step(item.first) if item is not None else -1
        if step < 0:
            self.notify("This line names no step.")
            return
        self.model.put_cursor(step)
        self.app.switch_mode("overview")
