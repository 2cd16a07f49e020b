"""Jobs, results and checkpoints of the run."""

from __future__ import annotations

from textual import events

from traintop_tui.charts.cells import Row, Rows, fit, fit_middle
from traintop_tui.charts.numbers import format_bytes, format_value
from traintop_tui.host import host_of
from traintop_tui.widgets.canvas import Canvas, pad_rows

STATE_STYLES = {"ok": "severity.info", "failed": "severity.critical", "running": "title"}


class JobTable(Canvas):
    """One line a job or result, the newest first."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the lines around the selected one."""
        model = self.model
        items = model.job_items()
        rows: list[Row] = [(("Analyses", "title"),)]
        if not items:
            rows += [
                (("None yet. L runs an LR range test, D a dead-neuron scan,", "label"),),
                (("A lists all; each on the newest checkpoint before the cursor.", "label"),),
            ]
        top = max(min(model.job - height // 2, len(items) - height + 1), 0)
        for index, item in enumerate(items[top : top + max(height - 1, 0)], top):
            step = "" if item.step is None else f"step {item.step}"
            mark = ">" if index == model.job else " "
            where = step or item.checkpoint_name
            text = f"{mark} {fit(item.state, 10)}{fit(item.title, 18)}{where}"
            style = STATE_STYLES.get(item.state, "label")
            rows.append(((fit(text, width), "selected" if index == model.job else style),))
        return pad_rows(rows, width, height)

    def on_click(self, event: events.Click) -> None:
        """Select what is under the mouse."""
        if 0 < event.y <= len(self.model.job_items()):
            self.model.job = event.y - 1
            host_of(self).redraw()


class CheckpointTable(Canvas):
    """The checkpoints that were found, the newest first."""

    def build(self, width: int, height: int) -> Rows:
        """Draw a line a checkpoint: step, loss there, size, name."""
        model = self.model
        found = model.checkpoints()[::-1]
        chosen = model.checkpoint_for(model.view.cursor)
        rows: list[Row] = [((f"Checkpoints  {len(found)}", "title"),)]
        if not found:
            rows.append((("None found in the run's folder or its events.", "label"),))
        for checkpoint in found[: max(height - 1, 0)]:
            loss = "" if checkpoint.loss is None else f"loss {format_value(checkpoint.loss)}"
            step = "?" if checkpoint.step is None else str(checkpoint.step)
            size = "" if checkpoint.size is None else format_bytes(checkpoint.size)
            mark = ">" if checkpoint == chosen else " "
            head = f"{mark} step {fit(step, 8)}{fit(loss, 14)}{fit(size, 9)}"
            name = fit_middle(checkpoint.path.name, max(width - len(head), 0))
            rows.append(((head + name, "title" if checkpoint == chosen else "text"),))
        return pad_rows(rows, width, height)
