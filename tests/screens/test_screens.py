"""The screens as they are seen, in ASCII, so that a change of them reads in a diff.

After a change that is meant: `pytest tests/screens --snapshot-update`, and look at the diff.
"""

from __future__ import annotations

import json
import os

import pytest

from app_driver import NOW
from run_files import write_run
from traintop_tui.actions import ACTIONS
from traintop_tui.screens.help import help_text

SMALL, MEDIUM = (80, 24), (120, 35)


@pytest.fixture
def nan_run(tmp_path):
    """A run of 500 steps with two checkpoints whose loss is NaN from step 400 on."""
    folder = write_run(tmp_path / "mlp-digits", 500)
    with (folder / "events.jsonl").open("w") as file:
        for step in (200, 350):
            path = folder / f"ckpt-{step}.pt"
            path.write_bytes(b"x" * 1024)
            event = {"step": step, "event": "checkpoint", "path": path.name}
            file.write(json.dumps(event) + "\n")
    for file in folder.iterdir():
        os.utime(file, (NOW, NOW))
    return folder


def picture(app):
    """Return the whole screen as text, without the blanks at the ends of its lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        pytest.param(["1"], SMALL, id="overview-80x24"),
        pytest.param(["1"], MEDIUM, id="overview-120x35"),
        pytest.param(["2", "m"], SMALL, id="layers-80x24"),
        pytest.param(["3"], SMALL, id="findings-80x24"),
        pytest.param(["4"], SMALL, id="log-80x24"),
    ],
)
async def test_screen(opened, nan_run, snapshot, keys, size):
    async with opened(nan_run, size=size, ascii=True) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        seen = picture(pilot.app)
        assert seen.isascii()
        assert seen == snapshot


def test_help(snapshot):
    assert help_text(ACTIONS) == snapshot
