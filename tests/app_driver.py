"""Drives the app in tests: reads by hand, and reads the screen back."""

from __future__ import annotations

from traintop_tui.app import TraintopApp
from traintop_tui.widgets.canvas import Canvas

NOW = 1_800_000_500.0
"""Seconds since 1970."""


def catch_up(app: TraintopApp) -> None:
    """Read and judge everything, and draw it."""
    updates = [session.pump(NOW) for session in app.model.sessions]
    while any(update.more for update in updates):
        updates = [session.pump(NOW) for session in app.model.sessions]
    app.model.jobs.poll()
    app.model.take(updates)
    app.redraw()


def text_of(app: TraintopApp) -> str:
    """Return what stands on the screen, our widgets one under the other."""
    lines: list[str] = []
    for canvas in app.screen.query(Canvas):
        if canvas.is_attached and canvas.display and canvas.size.height:
            lines += [canvas.render_line(y).text for y in range(canvas.size.height)]
    return "\n".join(lines)
