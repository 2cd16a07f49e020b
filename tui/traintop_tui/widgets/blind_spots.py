"""What could not be judged, and the signal that is missing."""

from __future__ import annotations

from traintop_tui.charts.cells import Row, Rows
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap


class BlindSpots(Canvas):
    """The ailments that this run's records cannot show."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a line or more for each."""
        session = self.model.session
        blind = session.not_judged()
        rows: list[Row] = [((f"Not judged  {len(blind)}", "title"),)]
        for spot in blind:
            text = f"{spot.id}: needs {spot.needs}"
            rows += [
                ((line if not i else f"  {line}", "label"),)
                for i, line in enumerate(wrap(text, width - 2))
            ]
        for failure in session.failures():
            text = f"detector {failure.id} failed and is off: {failure.error}"
            rows += [((line, "severity.warning"),) for line in wrap(text, width)]
        for problem in session.problems():
            rows += [((line, "severity.warning"),) for line in wrap(problem, width)]
        return pad_rows(rows, width, height)
