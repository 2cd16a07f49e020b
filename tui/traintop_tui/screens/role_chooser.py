"""A dialog that says what a series means: its role, none, or the one that its name gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from traintop.catalogue import SeriesRef
from traintop.given_roles import NO_ROLE
from traintop_tui.charts.cells import fit
from traintop_tui.role_words import WORDS
from traintop_tui.screens.dialog import Dialog

RESET = "reset"
_WIDTH = 24


class Given(NamedTuple):
    """What was chosen."""

    label: str
    """Of the series."""
    role: str | None
    """`none`: it has none; None: the one that its name gives."""


class RoleChooser(Dialog[Given | None]):
    """Returns what was chosen, None where nothing changes.

    Args:
        refs: The series; the first is asked about first.
        marks: By label: what else is known of a series.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,R", "cancel", "Cancel"),
        Binding("left,h", "other(-1)", "Series before", show=False),
        Binding("right,l", "other(1)", "Next series", show=False),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, refs: Sequence[SeriesRef], marks: Mapping[str, str]) -> None:
        super().__init__()
        self._refs = list(refs)
        self._marks = marks
        self._at = 0
        self._about = Label(id="about", markup=False)
        self._box = OptionList(id="roles")

    def compose(self) -> ComposeResult:
        """Put what is known of the series above the roles."""
        with Vertical(classes="dialog"):
            yield self._about
            yield self._box
            yield Label(
                "Enter takes it; left and right go to another series; Esc leaves", classes="hint"
            )

    def on_mount(self) -> None:
        """Begin with the first series."""
        self._fill()
        self._box.focus()

    def _fill(self) -> None:
        ref = self._refs[self._at]
        which = f" ({self._at + 1} of {len(self._refs)})" if len(self._refs) > 1 else ""
        mark = self._marks.get(ref.label, "")
        known = f"{ref.role}: {ref.why}" if ref.role is not None else "no role"
        by = f"; {ref.why}" if ref.role is None and ref.why else ""
        self._about.update(
            f"What is {ref.label}{which}?\nNow {known}{by}{f'; {mark}' if mark else ''}"
        )
        holders = {each.role: each.label for each in self._refs if each.role is not None}
        options = [_option(NO_ROLE, "none", "a metric of your own, not judged", ref.role is None)]
        for role, words in WORDS.items():
            holder = holders.get(role, ref.label)
            taken = f" (now {holder})" if holder != ref.label else ""
            options.append(_option(role, role, words + taken, ref.role == role))
        if ref.role_from == "you":
            options.insert(0, Option(Content("    as its name or the settings say"), id=RESET))
        self._box.clear_options()
        self._box.add_options(options)
        chosen = ref.role or NO_ROLE
        self._box.highlighted = self._box.get_option_index(chosen)

    def action_other(self, by: int) -> None:
        """Ask about another series."""
        self._at = (self._at + by) % len(self._refs)
        self._fill()

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        ref, role = self._refs[self._at], event.option.id
        same = role == (ref.role or NO_ROLE) and ref.role_from == "you"
        given = Given(ref.label, None if role == RESET else role)
        self.dismiss(None if same else given)

    def action_down(self) -> None:
        self._box.action_cursor_down()

    def action_up(self) -> None:
        self._box.action_cursor_up()

    def action_cancel(self) -> None:
        self.dismiss(None)


def _option(role: str, name: str, words: str, chosen: bool) -> Option:
    line = f"{'(*)' if chosen else '( )'} {fit(name, _WIDTH, ascii_only=True)} {words}"
    return Option(Content(line), id=role)
