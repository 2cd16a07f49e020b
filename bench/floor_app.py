"""The smallest Textual app that the harness of `terminal.py` can measure: what no app goes below.

python bench/floor_app.py [--rate FRAMES_A_SECOND]
"""

from __future__ import annotations

import argparse
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

PAGES = {"1": f"step 0  loss 1.0\n{'⣿' * 100}\nFindings 0 open", "2": "gradient norm by layer"}


class FloorApp(App[None]):
    """One `Static` with two texts, one of them shown by `1`, the other by `2`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("1", "page('1')", "One"),
        ("2", "page('2')", "Two"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate
        self._frame = 0

    def compose(self) -> ComposeResult:
        """Make the one widget."""
        yield Static(PAGES["1"])

    def on_mount(self) -> None:
        """Begin to change the text where that is wanted."""
        if self._rate:
            self.set_interval(1 / self._rate, self._tick)

    def action_page(self, page: str) -> None:
        """Show a text."""
        self.query_one(Static).update(PAGES[page])

    def _tick(self) -> None:
        self._frame += 1
        self.query_one(Static).update(PAGES["1"].replace("step 0", f"step {self._frame}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=0, help="changes of the text a second")
    FloorApp(parser.parse_args().rate).run()
