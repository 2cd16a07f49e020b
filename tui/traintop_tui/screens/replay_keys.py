"""The keys of a replay, the same on every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from traintop_tui.actions import actions_for
from traintop_tui.host import host_of

if TYPE_CHECKING:
    from traintop_tui.model import Model

HUNDREDTH, TENTH = 0.01, 0.1
"""Parts of the window."""
_REPLAY_ACTIONS = frozenset(action.id for action in actions_for("replay"))


class ReplayKeys(Screen[None]):
    """A screen whose replay keys work while a run is replayed, and else leave them to others."""

    @property
    def model(self) -> Model:
        """What the app shows."""
        return host_of(self).model

    def redraw(self) -> None:
        """Draw what has changed."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - as Textual calls it
        """Let the keys of the replay pass to others in the present."""
        return action not in _REPLAY_ACTIONS or self.model.replay is not None

    def _move(self, windows: float) -> None:
        """Move by a part of the window, at least by a record."""
        first, last = self.model.window
        before = self.model.step
        records = 1 if windows > 0 else -1
        self.model.move_records(records)
        beyond = before + windows * (last - first)
        if abs(beyond - before) > abs(self.model.step - before):
            self.model.put_cursor(round(beyond))
        self.redraw()

    def _go_to(self, step: float) -> None:
        self.model.put_cursor(step)
        self.redraw()

    def action_replay_back(self) -> None:
        self._move(-HUNDREDTH)

    def action_replay_on(self) -> None:
        self._move(HUNDREDTH)

    def action_replay_back_fast(self) -> None:
        self._move(-TENTH)

    def action_replay_on_fast(self) -> None:
        self._move(TENTH)

    def action_replay_record_back(self) -> None:
        self.model.move_records(-1)
        self.redraw()

    def action_replay_record_on(self) -> None:
        self.model.move_records(1)
        self.redraw()

    def action_replay_first(self) -> None:
        self._go_to(self.model.extent[0])

    def action_replay_last(self) -> None:
        self._go_to(self.model.extent[1])

    def action_replay_next_finding(self) -> None:
        self._jump(1)

    def action_replay_previous_finding(self) -> None:
        self._jump(-1)

    def _jump(self, by: int) -> None:
        """Go to where the next (1) or previous (-1) finding of the whole run was seen."""
        now = self.model.step
        seen = [finding.detected_step for finding in self.model.whole_findings()]
        ahead = [step for step in seen if (step - now) * by > 0]
        if not ahead:
            self.notify("No finding was seen later." if by > 0 else "None was seen before.")
            return
        self._go_to(min(ahead) if by > 0 else max(ahead))

    def action_replay_play(self) -> None:
        replaying = host_of(self).replaying
        if replaying is not None:
            if not replaying.playing and self.model.step >= self.model.extent[1]:
                self.model.put_cursor(self.model.extent[0])
            replaying.playing = not replaying.playing
            self.redraw()

    def action_replay_faster(self) -> None:
        self._change_speed(2.0)

    def action_replay_slower(self) -> None:
        self._change_speed(0.5)

    def _change_speed(self, factor: float) -> None:
        replaying = host_of(self).replaying
        if replaying is not None:
            replaying.change_speed(factor)
            replaying.playing = True
            self.redraw()

    def action_replay_go_to(self) -> None:
        from traintop_tui.screens.step_prompt import StepPrompt

        self.app.push_screen(StepPrompt(*self.model.extent), self._typed_step)

    def _typed_step(self, step: float | None) -> None:
        if step is not None and self.model.replay is not None:
            self._go_to(step)

    def action_replay_leave(self) -> None:
        host_of(self).leave_replay()
