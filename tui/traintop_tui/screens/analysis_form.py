"""A dialog that asks for what an analysis is to be started with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from traintop.analyses import ANALYSES
from traintop.records import Checkpoint
from traintop_tui.charts.numbers import format_value
from traintop_tui.job_list import NO_CHECKPOINT
from traintop_tui.screens.dialog import Dialog


class Answers(NamedTuple):
    """What was typed and chosen."""

    target: str | None
    """None: it was not asked for."""
    checkpoint: Path | None
    """None: the target as it is."""
    options: dict[str, float]
    """Those that are not at their defaults."""


class AnalysisForm(Dialog[Answers | None]):
    """Asks for the target where that is not known, the checkpoint, and the options.

    Args:
        name: The analysis.
        checkpoints: Those there are, by step.
        chosen: The one that would be taken.
        options: Those that were given the last time.
        target: What is known of it; None asks for it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", priority=True),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(
        self,
        name: str,
        checkpoints: Sequence[Checkpoint],
        chosen: Path | None,
        options: Mapping[str, float],
        target: str | None,
    ) -> None:
        super().__init__()
        self._analysis = ANALYSES[name]
        self._checkpoints = list(checkpoints)[::-1]
        self._chosen = chosen
        self._target = target
        defaults = {each.name: each.default for each in self._analysis.options}
        self._before: dict[str, float | None] = defaults | dict(options)

    def compose(self) -> ComposeResult:
        """Put what is missing first, then what has a default."""
        with VerticalScroll(classes="dialog form", can_focus=False):
            yield Label(f"{self._analysis.title}: Enter starts it, Tab goes on", markup=False)
            if self._target is None:
                yield Label("What builds model and data, as FILE.py:FUNCTION", classes="hint")
                yield Input(placeholder="train.py:target", id="target", classes="field")
            places = [_words(each) for each in self._checkpoints] + [NO_CHECKPOINT]
            box = OptionList(*(Option(Content(place)) for place in places), id="checkpoints")
            paths = [each.path for each in self._checkpoints]
            box.highlighted = paths.index(self._chosen) if self._chosen in paths else len(paths)
            yield Label("Checkpoint", classes="hint")
            yield box
            for option in self._analysis.options:
                value = self._before[option.name]
                default = "found out" if option.default is None else f"{option.default:g}"
                with Horizontal(classes="option"):
                    yield Label(option.name, classes="name", markup=False)
                    yield Input(
                        "" if value is None else f"{value:g}",
                        placeholder=default,
                        id=f"option-{option.name}",
                        classes="field",
                    )
                    yield Label(option.help, classes="hint", markup=False)

    def on_mount(self) -> None:
        """Begin with what is missing."""
        fields = self.query(Input)
        (fields.first() if fields else self.query_one(OptionList)).focus()

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _start(self) -> None:
        target = self._target
        if target is None:
            target = self.query_one("#target", Input).value.strip()
            problem = _wrong_target(target)
            if problem is not None:
                self.notify(problem, severity="warning", markup=False)
                return
        options: dict[str, float] = {}
        for option in self._analysis.options:
            text = self.query_one(f"#option-{option.name}", Input).value.strip()
            value = option.default if not text else _number(text)
            if value is None and text:
                self.notify(
                    f"{option.name}: {text} is no number.", severity="warning", markup=False
                )
                return
            if value is not None and value != option.default:
                options[option.name] = value
        at = self.query_one("#checkpoints", OptionList).highlighted or 0
        checkpoint = self._checkpoints[at].path if at < len(self._checkpoints) else None
        self.dismiss(Answers(None if self._target else target, checkpoint, options))

    def action_cancel(self) -> None:
        self.dismiss(None)


def _words(checkpoint: Checkpoint) -> str:
    step = "step ?" if checkpoint.step is None else f"step {checkpoint.step}"
    loss = "" if checkpoint.loss is None else f"  loss {format_value(checkpoint.loss)}"
    return f"{step}{loss}  {checkpoint.path.name}"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _wrong_target(spec: str) -> str | None:
    """Say what is wrong with a target that was typed."""
    where, colon, function = spec.rpartition(":")
    if not colon or not where or not function:
        return "Name the target as FILE.py:FUNCTION or package.module:FUNCTION."
    if where.endswith(".py") and not Path(where).is_file():
        return f"There is no file {where} in {Path.cwd()}."
    return None
