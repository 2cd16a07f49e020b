"""A dialog that searches all series of a run and says which are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, SelectionList
from textual.widgets.selection_list import Selection

from traintop_tui.screens.dialog import Dialog


class SeriesPicker(Dialog[list[str] | None]):
    """Returns the chosen labels; an empty list means the usual charts, None that nothing changes.

    Args:
        labels: All series.
        chosen: Those that are drawn at present.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", priority=True),
        Binding("enter", "accept", "Draw", priority=True),
        Binding("down", "to_list", "To the list", show=False),
    ]

    def __init__(self, labels: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._box = SelectionList[str]()
        self._labels = list(labels)
        self._chosen = [label for label in chosen if label in labels]

    def compose(self) -> ComposeResult:
        """Put the search above the list."""
        with Vertical(classes="dialog"):
            yield Label("Choose curves: type to search, ↓ then Space to choose, Enter to draw")
            yield Input(placeholder="search")
            yield self._box

    def on_mount(self) -> None:
        """Begin with all of them."""
        self._list("")

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._list(event.value)

    @on(SelectionList.SelectionToggled)
    def _toggle(self, event: SelectionList.SelectionToggled[str]) -> None:
        label = event.selection.value
        if label in self._chosen:
            self._chosen.remove(label)
        else:
            self._chosen.append(label)

    def _list(self, text: str) -> None:
        words = text.lower().split()
        found = [label for label in self._labels if all(word in label.lower() for word in words)]
        box = self._box
        box.clear_options()
        box.add_options(Selection(Content(label), label, label in self._chosen) for label in found)

    def action_to_list(self) -> None:
        self._box.focus()
        if self._box.highlighted is None:
            self._box.highlighted = 0

    def action_accept(self) -> None:
        self.dismiss(self._chosen)

    def action_cancel(self) -> None:
        self.dismiss(None)
