"""Plays a replay at its speed, and judges in a thread what takes longer than a key may."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.app import App

from traintop.replay import Replay
from traintop_tui.model import Model

FRAME = 0.1
"""Seconds between two pictures while it plays."""
LENGTH = 30.0
"""Seconds in which the whole run is played at speed 1."""
PARTS = 20
"""Pictures at most while one step is judged."""
SPEEDS = (1 / 8, 8.0)
"""Slowest and fastest."""


class Replaying:
    """The clock of a replay. The app has one while a run is replayed.

    Args:
        app: Whose timer is used.
        model: Whose replay is played.
        redraw: Draws what is in sight.
    """

    def __init__(self, app: App[int], model: Model, redraw: Callable[[], None]) -> None:
        self.playing = False
        self.speed = 1.0
        self._model = model
        self._redraw = redraw
        self._judging: threading.Thread | None = None
        self._drawn: object = None
        self._timer = app.set_interval(FRAME, self.tick)

    def stop(self) -> None:
        """Leave the replay."""
        self._timer.stop()
        self._model.stop_replay()

    def change_speed(self, factor: float) -> None:
        """Play faster or slower."""
        self.speed = min(max(self.speed * factor, SPEEDS[0]), SPEEDS[1])

    def tick(self) -> None:
        """Go on by a frame, see to it that the step is judged, and draw what is new."""
        replay = self._model.replay
        if replay is None:
            self.playing = False
            return
        first, last = self._model.extent
        if self.playing and not replay.pending:
            # Never ahead of the verdicts: they are what is looked at.
            step = replay.step + (last - first) * self.speed * FRAME / LENGTH
            self.playing = step < last
            self._model.put_cursor(step)
        if replay.pending and (self._judging is None or not self._judging.is_alive()):
            self._judging = threading.Thread(target=_judge, args=(replay,), daemon=True)
            self._judging.start()
        # Of what is still judged only the percentage changes, which costs a whole picture.
        now = replay.step, replay.pending, self.playing, int(PARTS * replay.judged)
        if now != self._drawn:
            self._drawn = now
            self._redraw()


def _judge(replay: Replay) -> None:
    while replay.judge():
        pass
