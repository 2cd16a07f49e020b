"""Jobs, results and checkpoints of the run."""

from __future__ import annotations

from textual import events

from traintop.analyses import ANALYSES
from traintop.records import Checkpoint
from traintop_tui.analyses_model import NO_TARGET
from traintop_tui.charts.cells import Row, Rows, cell_width, fit, fit_middle
from traintop_tui.charts.numbers import format_bytes, format_value
from traintop_tui.host import host_of
from traintop_tui.widgets.canvas import Canvas, pad_rows
from traintop_tui.wrapping import wrap

STATE_STYLES = {"ok": "severity.info", "failed": "severity.critical", "running": "title"}
STATE_WIDTH, TITLE_WIDTH = 12, 23


class JobTable(Canvas):
    """One line a job or result, the newest first, under a title."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        model = self.model
        items = model.job_items()
        if not items:
            return pad_rows(self._invitation(width), width, height)
        rows: list[Row] = [((f"Analyses  {len(items)}", "title"),)]
        selected = min(model.job, len(items) - 1)
        top = self._top(height)
        for index, item in enumerate(items[top : top + max(height - 1, 0)], top):
            mark = ">" if index == selected else " "
            compared = ("c " if item in model.marked else "  ") if model.marked else ""
            where = item.checkpoint_name if item.step is None else f"step {item.step}"
            done, total = item.progress
            state = f"{item.state} {done / total:.0%}" if total else item.state
            text = (
                f"{mark} {compared}{fit(state, STATE_WIDTH)}{fit(item.title, TITLE_WIDTH)}{where}"
            )
            style = STATE_STYLES.get(item.state, "label")
            rows.append(((fit(text, width), "selected" if index == selected else style),))
        problems = [line for each in model.damaged_results() for line in wrap(each, width)]
        rows += [((line, "severity.warning"),) for line in problems]
        return pad_rows(rows, width, height)

    def wanted_height(self, width: int) -> int:
        """Return a line an analysis and one for the title, or what the invitation takes."""
        items = self.model.job_items()
        if not items:
            return len(self._invitation(width))
        problems = [line for each in self.model.damaged_results() for line in wrap(each, width)]
        return 1 + len(items) + len(problems)

    def on_click(self, event: events.Click) -> None:
        """Select what is under the mouse."""
        index = self._top(self.size.height) + event.y - 1
        if event.y and index < len(self.model.job_items()):
            self.model.job = index
            host_of(self).redraw()

    def _top(self, height: int) -> int:
        body, count = max(height - 1, 1), len(self.model.job_items())
        return max(min(self.model.job - body // 2, count - body), 0)

    def _invitation(self, width: int) -> list[Row]:
        """Say what could be run."""
        rows: list[Row] = [(("Analyses", "title"),)]
        lines = ["None yet. Each runs in a process of its own and leaves the run as it is:"]
        if self.model.target is None:
            lines.append(f"Not yet: {NO_TARGET}.")
        lines.append("A  choose one from a list, which says what can run now")
        lines += [
            f"{analysis.key or 'A'}  {analysis.title}: {analysis.description}"
            for analysis in ANALYSES.values()
        ]
        rows += [((part, "text"),) for line in lines for part in wrap(line, width)]
        problems = [line for each in self.model.damaged_results() for line in wrap(each, width)]
        return rows + [((line, "severity.warning"),) for line in problems]


class CheckpointTable(Canvas):
    """The checkpoints that were found, the newest first; the one that would be used is marked."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a line a checkpoint: step, loss there, size, name."""
        model = self.model
        found = model.checkpoints()[::-1]
        chosen = model.checkpoint_for(model.view.cursor)
        cursor = model.view.cursor
        title = f"Checkpoints  {len(found)}"
        if found and chosen is None and cursor is not None:
            title += f", none at or before the cursor's step {cursor:.0f}"
        rows: list[Row] = [((title, "title"),)]
        if not found:
            text = "None found in the run's folder or its events."
            rows += [((line, "label"),) for line in wrap(text, width)]
        columns = [_cells(checkpoint) for checkpoint in found]
        widths = [max(map(cell_width, column)) for column in zip(*columns, strict=True)]
        at = found.index(chosen) if chosen is not None else 0
        body = max(height - 1, 1)
        top = max(min(at - body // 2, len(found) - body), 0)
        for checkpoint, cells in list(zip(found, columns, strict=True))[top : top + body]:
            mark = ">" if checkpoint == chosen else " "
            line = mark
            for cell, size in zip(cells[:3], widths, strict=False):
                line += f" {cell:{size}} " if size else ""
            name = fit_middle(cells[3], min(widths[3], max(width - len(line) - 1, 0)))
            rows.append(((f"{line} {name}", "title" if checkpoint == chosen else "text"),))
        return pad_rows(rows, width, height)

    def wanted_height(self, width: int) -> int:
        """Return a line a checkpoint and one for the title."""
        return 1 + max(len(self.model.checkpoints()), 1)


def _cells(checkpoint: Checkpoint) -> tuple[str, str, str, str]:
    """Return step, loss, size and name of a checkpoint, empty where not known."""
    return (
        "step ?" if checkpoint.step is None else f"step {checkpoint.step}",
        "" if checkpoint.loss is None else f"loss {format_value(checkpoint.loss)}",
        "" if checkpoint.size is None else format_bytes(checkpoint.size),
        checkpoint.path.name,
    )
