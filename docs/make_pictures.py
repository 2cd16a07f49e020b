"""Makes the pictures of the README from a real run: `make picture`.

Trains the demo with a fault, runs an LR range test on one of its checkpoints, opens the app on it
without a terminal and saves what its screens show.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from traintop.jobs import run as run_analysis
from traintop.launch import make_request
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.app import TraintopApp
from traintop_tui.launch_app import make_app

HERE = Path(__file__).parent
SIZE = (160, 44)
STEPS = 1400
PICTURES = {
    "overview": ("1",),
    "layers": ("2", "m", "m", "j", "j", "j", "j"),
    "findings": ("3",),
    "analyses": ("5",),
}
"""Picture -> the keys that lead to it."""


def train(folder: Path) -> None:
    """Train the demo whose learning rate jumps, and run an LR range test on a checkpoint of it."""
    command = [sys.executable, "-m", "traintop.demo", str(folder), "--fault", "lr-jump"]
    subprocess.run([*command, "--pace", "0", "--steps", str(STEPS)], check=True)  # noqa: S603 - our own module
    request = make_request(
        "lr_find",
        target=f"{Path(sys.modules['traintop'].__path__[0]) / 'demo' / 'target.py'}:target",
        checkpoint=folder / "checkpoints" / "step-000400.pt",
        run_dir=folder,
    )
    run_analysis(request, run_dir=folder)


def read(app: TraintopApp) -> None:
    """Read the run to its end and draw it."""
    now = time.time()
    [session] = app.model.sessions
    update = session.pump(now)
    while update.more:
        update = session.pump(now)
    app.model.jobs.load()
    app.model.take([update])
    app.redraw()


async def take_pictures(folder: Path) -> None:
    """Open the app on the run and save its screens."""
    settings = Settings()
    app = make_app([Session(folder, settings)], settings, follow=False)
    async with app.run_test(size=SIZE) as pilot:
        read(app)
        await pilot.pause()
        for name, keys in PICTURES.items():
            await pilot.press(*keys)
            await pilot.pause()
            app.redraw()
            await pilot.pause()
            app.save_screenshot(f"{name}.svg", str(HERE))


def main() -> None:
    """Train, analyse and draw."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "digits-cnn"
        train(folder)
        asyncio.run(take_pictures(folder))


if __name__ == "__main__":
    main()
