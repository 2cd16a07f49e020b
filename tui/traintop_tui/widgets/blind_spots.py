"""What could not be judged, and the signal that is missing."""

from __future__ import annotations

from traintop_tui.charts.cells import Row
from traintop_tui.widgets.scroll_text import ScrollText
from traintop_tui.wrapping import wrap


class BlindSpots(ScrollText):
    """The ailments that this run's records cannot show, and what could not be read."""

    def lines(self, width: int) -> list[Row]:
        """Write a line or more for each."""
        session = self.model.session
        blind = self.model.not_judged()
        rows: list[Row] = []
        for failure in self.model.failures():
            text = f"detector {failure.id} failed and is off: {failure.error}"
            rows += [((line, "severity.warning"),) for line in wrap(text, width)]
        triage = self.model.triage.problem
        problems = session.problems() + ([] if triage is None else [triage])
        for problem in problems:
            rows += [((line, "severity.warning"),) for line in wrap(problem, width)]
        if blind:
            rows.append(((f"Not judged  {len(blind)}", "title"),))
        for spot in blind:
            text = f"{spot.id}: needs {spot.needs}"
            if spot.record is not None:
                text += f"; to record it: {spot.record}"
            rows += [
                ((line if not i else f"  {line}", "label"),)
                for i, line in enumerate(wrap(text, width - 2))
            ]
        return rows
