"""A dialog that searches all series of a run and says which are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, OptionList

from traintop_tui.screens.dialog import Dialog


class SeriesPicker(Dialog[list[str] | None]):
    """Returns the chosen labels; an empty list means the usual charts, None that nothing changes.

    Args:
        labels: All series.
        chosen: Those that are drawn at present.
        words: Says of a series, by label, what it means; the answer may change.
        ask_role: Called with a label, and with what is to be done when its role has changed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", priority=True),
        Binding("enter", "accept", "Draw", priority=True),
        Binding("down", "to_list", "To the list", show=False),
        Binding("space", "choose", "Choose", show=False),
        Binding("R", "give_role", "Role", show=False),
    ]

    def __init__(
        self,
        labels: Sequence[str],
        chosen: Sequence[str],
        words: Callable[[str], str] = lambda _: "",
        ask_role: Callable[[str, Callable[[], None]], None] | None = None,
    ) -> None:
        super().__init__()
        self._words = words
        self._ask_role = ask_role
        self._box = OptionList()
        self._labels = list(labels)
        self._found: list[str] = []
        """Those that match the search."""
        self._chosen = [label for label in chosen if label in labels]

    def compose(self) -> ComposeResult:
        """Put the search above the list."""
        with Vertical(classes="dialog"):
            yield Label(
                "Type to search; Down, then Space chooses, R gives a role; Enter draws"
                " (none: the usual charts)"
            )
            yield Input(placeholder="search")
            yield self._box

    def on_mount(self) -> None:
        """Begin with all of them."""
        self._list("")

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._list(event.value)

    def action_choose(self) -> None:
        """Choose the series under the bar, or no longer."""
        at = self._box.highlighted
        if at is None:
            return
        label = self._found[at]
        if label in self._chosen:
            self._chosen.remove(label)
        else:
            self._chosen.append(label)
        self._box.replace_option_prompt_at_index(at, self._prompt(label))

    def action_give_role(self) -> None:
        """Say what the series under the bar means."""
        at = self._box.highlighted
        if at is not None and self._ask_role is not None:
            self._ask_role(self._found[at], self._tell_again)

    def _tell_again(self) -> None:
        for at, label in enumerate(self._found):
            self._box.replace_option_prompt_at_index(at, self._prompt(label))

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_choose()

    def _list(self, text: str) -> None:
        words = text.lower().split()
        self._found = [
            label for label in self._labels if all(word in label.lower() for word in words)
        ]
        self._box.clear_options()
        self._box.add_options(self._prompt(label) for label in self._found)

    def _prompt(self, label: str) -> Content:
        words = self._words(label)
        means = f"  ({words})" if words else ""
        return Content(f"[{'x' if label in self._chosen else ' '}] {label}{means}")

    def action_to_list(self) -> None:
        self._box.focus()
        if self._box.highlighted is None:
            self._box.highlighted = 0

    def action_accept(self) -> None:
        self.dismiss(self._chosen)

    def action_cancel(self) -> None:
        self.dismiss(None)
